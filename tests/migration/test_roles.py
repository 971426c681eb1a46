"""
What each database role may do and what not; who makes them, and what happens where nobody may.
"""

import secrets
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from migration_rig import MakeModule, connection, drop_roles, rows
from psycopg import sql
from sqlalchemy.engine import make_url

from platform_core import _audit, _migrations
from platform_core._migrations import ModuleMigrations, read_database_sync
from platform_core._pools import LONGEST_NAME_BYTES, Pools, role_name
from platform_core._uow import SqlUnitOfWork
from platform_core.context import Context
from platform_core.domain import Command, Event, new_id
from platform_core.errors import Unavailable
from platform_core.settings import KernelSettings, read_settings

EVENT = (
    "INSERT INTO audit.domain_events (id, name, version, aggregate_type, aggregate_id, payload, correlation_id,"
    " occurred_at) VALUES (platform.uuid7(), 'a', 1, 't', platform.uuid7(), '{}', 'c', now())"
    " RETURNING id, name, position, aggregate_id"
)
LINE = (
    "INSERT INTO audit.audit_logs (id, actor_label, action, changes, outcome, request_id, occurred_at)"
    " VALUES (platform.uuid7(), 'system', 'a', '{}', 'done', 'r', now())"
)


@pytest.fixture
def modules(kernel: ModuleMigrations, make_module: MakeModule) -> list[ModuleMigrations]:
    return [kernel, make_module("alpha").things().migrations, make_module("beta").things().migrations]


@pytest.fixture
def migrated(database_url: str, modules: list[ModuleMigrations]) -> str:
    report = _migrations.upgrade(database_url, modules)
    assert report.ok
    assert report.roles is True
    return database_url


def granted(url: str, role: str, attempts: Sequence[str]) -> list[str]:
    """Return the attempts that were not denied."""
    with connection(url, role=role) as opened:
        return [attempt for attempt in attempts if not _is_denied(opened, attempt)]


def _is_denied(opened: psycopg.Connection[Any], attempt: str) -> bool:
    try:
        opened.execute(attempt)  # type: ignore[arg-type]  # lists of the tests
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


# ── the trail is append-only (C85) ───────────────────────────────────────────────────────────────────────────────────


CHANGES = [
    f"{attempt} {rest}".strip()
    for table in ("audit.domain_events", "audit.audit_logs")
    for attempt, rest in (
        (f"UPDATE {table}", "SET id = id"),
        (f"DELETE FROM {table}", ""),
        (f"TRUNCATE {table}", ""),
        (f"DROP TABLE {table}", ""),
        (f"ALTER TABLE {table}", "DISABLE TRIGGER ALL"),
    )
]


@pytest.mark.parametrize("module", ["alpha", "platform"])
def test_nobody_but_the_migrator_changes_the_trail(
    migrated: str, modules: list[ModuleMigrations], module: str
) -> None:
    role = read_database_sync(migrated, modules).roles[module]
    with connection(migrated, role=role) as opened:
        opened.execute(EVENT)
        opened.execute(LINE)
    assert granted(migrated, role, CHANGES) == []
    assert rows(
        migrated, "SELECT (SELECT count(*) FROM audit.domain_events), (SELECT count(*) FROM audit.audit_logs)"
    ) == [(1, 1)]


def test_the_kernel_chains_lines_but_never_unchains_them(
    migrated: str, modules: list[ModuleMigrations]
) -> None:
    with connection(migrated, role=read_database_sync(migrated, modules).roles["platform"]) as opened:
        opened.execute(LINE)
        opened.execute("INSERT INTO audit.audit_chain (audit_id) SELECT id FROM audit.audit_logs")
        opened.execute(
            "UPDATE audit.audit_chain SET position = 1, hash = '', digest = '', chained_at = now()"
        )
        for attempt in (
            "UPDATE audit.audit_chain SET audit_id = platform.uuid7()",
            "DELETE FROM audit.audit_chain",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                opened.execute(attempt)  # type: ignore[arg-type]  # two of the test's


# ── a module sees itself only (C93) ──────────────────────────────────────────────────────────────────────────────────


FORBIDDEN = [
    "SELECT * FROM beta.things",
    "INSERT INTO beta.things (id) VALUES (platform.uuid7())",
    "DELETE FROM beta.things",
    "SELECT version_num FROM alpha.alembic_version",
    "UPDATE alpha.alembic_version SET version_num = 'x'",
    "CREATE TABLE alpha.mine (id int)",
    "CREATE TABLE platform.mine (id int)",
    "SELECT payload FROM audit.domain_events",
    "SELECT changes FROM audit.audit_logs",
    "SELECT * FROM audit.audit_chain",
    "INSERT INTO audit.audit_chain (audit_id, position) VALUES (platform.uuid7(), 1)",
    "DELETE FROM platform.deliveries",
    "INSERT INTO platform.subscriptions (handler, module) VALUES ('x', 'y')",
    "DELETE FROM platform.idempotency_keys",
    "SELECT * FROM platform.seeds",
    "SELECT * FROM platform.migrations",
    "UPDATE platform.modules SET role = NULL",
]


def test_a_module_may_not_touch_anything_of_others(migrated: str, modules: list[ModuleMigrations]) -> None:
    roles = read_database_sync(migrated, modules).roles
    login, password = f"{roles['alpha']}_login", secrets.token_hex(8)
    with connection(migrated) as admin:
        # a superuser could take any role back; what counts is what the role itself may
        statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}")
        admin.execute(
            statement.format(sql.Identifier(login), sql.Literal(password), sql.Identifier(roles["alpha"]))
        )
    own = make_url(migrated).set(username=login, password=password).render_as_string(hide_password=False)
    assert granted(own, roles["alpha"], [*FORBIDDEN, f"SET ROLE {roles['beta']}"]) == []


def test_a_module_may_use_its_own_tables_those_made_later_too(
    migrated: str, modules: list[ModuleMigrations]
) -> None:
    with connection(migrated) as admin:
        admin.execute("CREATE TABLE alpha.numbered (id serial, text text)")
    with connection(migrated, role=read_database_sync(migrated, modules).roles["alpha"]) as opened:
        opened.execute("INSERT INTO alpha.numbered (text) VALUES ('a')")
        opened.execute("UPDATE alpha.numbered SET text = 'b'")
        opened.execute("DELETE FROM alpha.numbered")
        opened.execute("SELECT * FROM alpha.things")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            opened.execute("TRUNCATE alpha.things")


class Opened(Event):
    wire_name = "alpha.opened"
    wire_version = 1


class Reminder(Command[None]):
    wire_name = "alpha.remind"


class _Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


@pytest.fixture
def settings(migrated: str) -> KernelSettings:
    return read_settings(
        {"DATABASE_URL": migrated, "REDIS_URL": "redis://nowhere", "PLATFORM_SECRET_KEY": "x" * 40}
    )


async def test_the_one_statement_of_a_unit_of_work_runs_as_the_modules_role(
    settings: KernelSettings, migrated: str, modules: list[ModuleMigrations]
) -> None:
    state = read_database_sync(migrated, modules)
    with connection(migrated) as admin:
        admin.execute("INSERT INTO platform.subscriptions VALUES ('beta.hears', 'alpha.opened', 'beta')")
    pools = Pools(settings, roles=state.roles)
    try:
        async with pools.reads("alpha", primary=True).connect() as reading:
            assert await reading.fetch("SELECT current_user AS role") == [{"role": state.roles["alpha"]}]
        uow = SqlUnitOfWork(pools.commands("alpha"), _Clock(), Context())
        uow.emit(Opened(), aggregate_type="alpha.thing", aggregate_id=new_id())
        uow.later(Reminder(), key="once")
        for write in _audit.line(Context(), action="alpha.open", outcome="done", now=datetime.now(UTC)):
            uow.append(write)
        made = await uow.commit()
        await uow.close()
    finally:
        await pools.close()
    assert len(made) == 2
    assert rows(migrated, "SELECT count(*) FROM platform.deliveries") == [(2,)]
    assert rows(
        migrated, "SELECT count(*) FROM audit.audit_chain JOIN audit.audit_logs ON id = audit_id"
    ) == [(1,)]


async def test_a_pool_never_falls_back_to_the_logins_rights(
    settings: KernelSettings, migrated: str, modules: list[ModuleMigrations]
) -> None:
    roles = read_database_sync(migrated, modules).roles
    pools = Pools(settings, roles={"platform": roles["platform"]})
    with pytest.raises(Unavailable, match="alpha has no database role"):
        async with pools.commands("alpha").connect():
            pass
    await pools.adopt(roles)
    async with pools.commands("alpha").connect() as opened:
        assert await opened.fetch("SELECT current_user AS role") == [{"role": roles["alpha"]}]
    await pools.close()


async def test_nothing_that_a_pool_sends_is_compiled(
    settings: KernelSettings, migrated: str, modules: list[ModuleMigrations]
) -> None:
    """Where the server can, it took a second per claim: costs that keep the planner from sorting ask for it."""
    pools = Pools(settings, roles=read_database_sync(migrated, modules).roles)
    for pool in (pools.claims(), pools.commands("alpha"), pools.reads("alpha", primary=True)):
        async with pool.connect() as opened:
            assert await opened.fetch("SHOW jit") == [{"jit": "off"}]
    await pools.close()


def test_a_module_without_tables_has_a_schema_and_a_role(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    modules = [kernel, make_module("alpha").migrations]
    before = read_database_sync(newest_database_url, modules)
    assert str(before.modules["alpha"]) == "alpha: never migrated here, so it has no schema and no role yet"
    _migrations.upgrade(newest_database_url, modules).raise_for_failures()
    state = read_database_sync(newest_database_url, modules)
    assert not state.not_ready
    with connection(newest_database_url, role=state.roles["alpha"]) as opened:
        opened.execute("SELECT platform.uuid7()")
    _migrations.downgrade(newest_database_url, modules, "base").raise_for_failures()
    assert (
        rows(newest_database_url, "SELECT nspname FROM pg_namespace WHERE nspname IN ('alpha', 'platform')")
        == []
    )


# ── who makes them ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def owner(database_url: str) -> Iterator[tuple[str, str]]:
    """A login that owns its database and is no superuser, as managed databases give it; and its name."""
    name, password = f"owner_{secrets.token_hex(4)}", secrets.token_hex(8)
    with connection(database_url) as admin:
        database = admin.info.dbname
        admin.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(password))
        )
        admin.execute(
            sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(database), sql.Identifier(name))
        )
    yield (
        make_url(database_url).set(username=name, password=password).render_as_string(hide_password=False),
        name,
    )
    with connection(database_url) as admin:
        for schema in ("alpha", "beta", "gamma", "audit", "platform"):
            admin.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
        drop_roles(admin, database)
        admin.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(sql.Identifier(name)))
        admin.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_a_login_that_may_create_roles_needs_no_superuser(
    owner: tuple[str, str], database_url: str, modules: list[ModuleMigrations]
) -> None:
    url, name = owner
    with connection(database_url) as admin:
        admin.execute(sql.SQL("ALTER ROLE {} CREATEROLE").format(sql.Identifier(name)))
    report = _migrations.upgrade(url, modules)
    assert (report.ok, report.roles, report.notes) == (True, True, ())
    state = read_database_sync(url, modules)
    for module, role in state.roles.items():
        with connection(url, role=role) as opened:
            assert opened.execute("SELECT current_user").fetchone() == (role,), module
    with (
        connection(url, role=state.roles["alpha"]) as opened,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        opened.execute("SELECT * FROM beta.things")
    _migrations.downgrade(url, modules, "base").raise_for_failures()
    assert (
        rows(database_url, "SELECT count(*) FROM pg_roles WHERE rolname LIKE %s", f"{role_name('', '')}%")
        != []
    )
    with connection(url) as opened:
        prefix = opened.info.dbname
    assert rows(database_url, "SELECT rolname FROM pg_roles WHERE rolname LIKE %s", f"{prefix}\\_%") == []


def test_where_nobody_may_create_roles_the_platform_runs_without_and_says_so(
    owner: tuple[str, str], database_url: str, modules: list[ModuleMigrations], make_module: MakeModule
) -> None:
    url, name = owner
    report = _migrations.upgrade(url, modules)
    assert report.ok
    assert report.roles is False
    (note,) = report.notes
    assert note.startswith(
        "database roles are off, modules are not kept apart in the database: permission denied"
    )
    assert f"ALTER ROLE {name} CREATEROLE" in note
    assert read_database_sync(url, modules).roles == {}

    with connection(database_url) as admin:
        admin.execute(sql.SQL("ALTER ROLE {} CREATEROLE").format(sql.Identifier(name)))
    assert _migrations.upgrade(url, modules).roles is True  # nothing to migrate, but roles to make

    # roles that are in use are never given up silently
    with connection(database_url) as admin:
        admin.execute(sql.SQL("ALTER ROLE {} NOCREATEROLE").format(sql.Identifier(name)))
    failed = _migrations.upgrade(url, [*modules, make_module("gamma").migrations])
    assert (
        "the database roles that are in use here are not up to date: permission denied"
        in failed.failed["platform"]
    )
    assert {*read_database_sync(url, modules).roles} == {"platform", "alpha", "beta"}


def test_roles_that_an_administrator_made_beforehand_are_used(
    owner: tuple[str, str], database_url: str, modules: list[ModuleMigrations]
) -> None:
    url, name = owner
    with connection(database_url) as admin:
        for module in ("platform", "alpha", "beta"):
            role = sql.Identifier(role_name(admin.info.dbname, module))
            admin.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(role))
            admin.execute(sql.SQL("GRANT {} TO {}").format(role, sql.Identifier(name)))
    report = _migrations.upgrade(url, modules)
    assert (report.ok, report.roles) == (True, True)
    assert {*read_database_sync(url, modules).roles} == {"platform", "alpha", "beta"}


def test_processes_may_log_in_as_somebody_who_cannot_migrate(
    migrated: str, modules: list[ModuleMigrations], kernel: ModuleMigrations
) -> None:
    """In production the API and the workers need no rights on tables but those of the roles."""
    roles = read_database_sync(migrated, modules).roles
    login, password = f"{roles['platform']}_login", secrets.token_hex(8)
    with connection(migrated) as admin:
        admin.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
                sql.Identifier(login),
                sql.Literal(password),
                sql.SQL(", ").join(sql.Identifier(role) for role in roles.values()),
            )
        )
    application = (
        make_url(migrated).set(username=login, password=password).render_as_string(hide_password=False)
    )
    assert read_database_sync(application, modules).roles == roles
    assert _migrations.upgrade(application, modules).applied_count == 0
    with connection(application, role=roles["alpha"]) as opened:
        opened.execute("SELECT * FROM alpha.things")
    with connection(application) as opened, pytest.raises(psycopg.errors.InsufficientPrivilege):
        opened.execute("ALTER TABLE audit.audit_logs ADD COLUMN more text")
    assert granted(application, roles["platform"], ["RESET ROLE; DELETE FROM audit.audit_logs"]) == []


def test_roles_can_be_left_alone(newest_database_url: str, kernel: ModuleMigrations) -> None:
    report = _migrations.upgrade(newest_database_url, [kernel], roles=False)
    assert report.roles is None
    assert read_database_sync(newest_database_url, [kernel]).roles == {}


def test_a_right_that_this_release_does_not_grant_is_taken_back(
    migrated: str, kernel: ModuleMigrations, modules: list[ModuleMigrations], make_module: MakeModule
) -> None:
    roles = read_database_sync(migrated, modules).roles
    with connection(migrated) as admin:
        grant = "GRANT UPDATE, DELETE ON audit.audit_logs TO {}"  # an older release was careless
        admin.execute(sql.SQL(grant).format(sql.Identifier(roles["alpha"])))
    _migrations.upgrade(migrated, [*modules, make_module("gamma").migrations]).raise_for_failures()
    with (
        connection(migrated, role=roles["alpha"]) as opened,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        opened.execute("DELETE FROM audit.audit_logs")


def test_a_clone_goes_on_with_the_roles_of_the_database_it_was_copied_from(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule, platform_databases: Any
) -> None:
    modules = [kernel, make_module("alpha").things().migrations]
    _migrations.upgrade(newest_database_url, modules).raise_for_failures()
    original = read_database_sync(newest_database_url, modules).roles
    with connection(newest_database_url) as opened:
        name = opened.info.dbname
    clone = make_url(newest_database_url).set(database=f"{name}_clone").render_as_string(hide_password=False)
    with connection(
        make_url(newest_database_url).set(database="postgres").render_as_string(hide_password=False)
    ) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(f"{name}_clone"), sql.Identifier(name)
            )
        )
        try:
            assert read_database_sync(clone, modules).roles == original
            with connection(clone, role=original["alpha"]) as opened:
                opened.execute("SELECT * FROM alpha.things")
            # taking the clone down leaves the roles of the original alone
            _migrations.downgrade(clone, modules, "base").raise_for_failures()
            assert read_database_sync(newest_database_url, modules).roles == original
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(f"{name}_clone")))


def test_several_databases_of_one_server_make_their_roles_at_once(
    platform_databases: Any, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    modules = [kernel, *(make_module(name).migrations for name in ("alpha", "beta", "gamma"))]
    urls = [platform_databases.take() for _ in range(4)]
    results: dict[str, object] = {}

    def run(url: str) -> None:
        try:
            report = _migrations.upgrade(url, modules)
            results[url] = report.ok and report.roles
        except Exception as error:  # noqa: BLE001  # told to the main thread
            results[url] = error

    threads = [threading.Thread(target=run, args=(url,)) for url in urls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [*results.values()] == [True] * 4
    for url in urls:
        with connection(url) as admin:
            drop_roles(admin, admin.info.dbname)
        platform_databases.give_back(url)


def test_long_names_make_different_roles_that_postgresql_does_not_cut_off() -> None:
    names = {role_name("d" * 40, f"{'m' * 30}_{end}") for end in ("alpha", "beta", "gamma")}
    assert len(names) == 3
    assert all(len(name.encode()) <= LONGEST_NAME_BYTES for name in names)
    assert role_name("platform", "alpha") == "platform_alpha"
    assert len(role_name("ä" * 40, "alpha").encode()) <= LONGEST_NAME_BYTES


def _text(statement: str) -> Any:
    from sqlalchemy import text

    return text(statement)
