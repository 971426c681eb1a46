"""
Every module's revisions up and down, over all modules, by the version tables and the ledger.
"""

from dataclasses import replace

import psycopg
import pytest
import sqlalchemy as sa
from migration_rig import KERNEL_REVISIONS, MakeModule, connection, rows, snapshot, tables

from platform_core import _migrations
from platform_core._migrations import ModuleMigrations, autogenerate, read_database, read_database_sync
from platform_core._migrations.check import check, scratch_database
from platform_core._migrations.offline import downgrade_sql, upgrade_sql
from platform_core._migrations.plan import Goal, UnknownTarget
from platform_core._migrations.versions import applied_revisions, current
from platform_core.declarations import Link
from platform_core.errors import OperationError


def test_up_then_models_then_down_then_up_for_the_kernel_and_every_installed_module(
    database_url: str,
) -> None:
    installed = _migrations.installed_migrations()
    assert not installed.broken
    assert check(database_url, installed.modules, progress=lambda _: None) == []


def test_up_and_down_leave_nothing_behind(
    database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    before = rows(database_url, "SELECT nspname FROM pg_namespace ORDER BY 1")
    modules = [kernel, make_module("alpha").things().migrations]
    _migrations.upgrade(database_url, modules).raise_for_failures()
    with connection(database_url) as opened:
        database = opened.info.dbname
    assert rows(database_url, "SELECT count(*) FROM pg_roles WHERE rolname LIKE %s", f"{database}\\_%") == [
        (2,)
    ]

    _migrations.downgrade(database_url, modules, "base").raise_for_failures()

    assert rows(database_url, "SELECT nspname FROM pg_namespace ORDER BY 1") == before
    assert rows(database_url, "SELECT count(*) FROM pg_roles WHERE rolname LIKE %s", f"{database}\\_%") == [
        (0,)
    ]
    assert _migrations.upgrade(database_url, modules).applied_count == len(KERNEL_REVISIONS) + 1


def test_a_drift_between_models_and_tables_is_told(
    database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    module = make_module("alpha").things()
    _migrations.upgrade(database_url, [kernel, module.migrations]).raise_for_failures()
    assert autogenerate.differences(database_url, module.migrations) == []
    sa.Table("things", module.metadata, sa.Column("phone", sa.Text), extend_existing=True)
    (difference,) = autogenerate.differences(database_url, module.migrations)
    assert difference.startswith("add column: alpha things")
    assert "phone" in difference


def test_what_a_module_created_without_naming_its_schema_is_in_its_schema(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    module = make_module("alpha")
    module.revision("create_notes", "op.execute('CREATE TABLE notes (id uuid)')")
    _migrations.upgrade(newest_database_url, [kernel, module.migrations]).raise_for_failures()
    assert tables(newest_database_url, "alpha", "public") == {"alpha.notes"}


def test_downgrade_minus_one_takes_back_the_latest_revision_over_all_modules(
    database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    alpha, beta = make_module("alpha").things(), make_module("beta").things()
    modules = [kernel, alpha.migrations, beta.migrations]
    _migrations.upgrade(database_url, modules).raise_for_failures()
    # alpha comes first in plugin order, but its second revision was applied last
    alpha.revision(
        "create_notes",
        "op.create_table('notes', sa.Column('id', sa.Uuid), schema='alpha')",
        "op.drop_table('notes', schema='alpha')",
    )
    _migrations.upgrade(database_url, modules).raise_for_failures()

    first = _migrations.downgrade(database_url, modules)
    assert [(m.name, [r.revision for r in m.applied]) for m in first.modules] == [("alpha", ["alpha_0002"])]
    second = _migrations.downgrade(database_url, modules)
    assert [(m.name, [r.revision for r in m.applied]) for m in second.modules] == [("beta", ["beta_0001"])]
    assert tables(database_url, "alpha", "beta") == {"alpha.things"}
    assert [m.revision for m in current(database_url, modules)] == [KERNEL_REVISIONS[-1], "alpha_0001", None]


def test_several_revisions_are_taken_back_in_the_order_of_the_ledger(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    modules = [kernel, *(make_module(name).things().migrations for name in ("alpha", "beta", "gamma"))]
    _migrations.upgrade(newest_database_url, modules).raise_for_failures()
    report = _migrations.downgrade(newest_database_url, modules, "-2")
    assert [m.name for m in report.modules] == ["gamma", "beta"]
    assert tables(newest_database_url, "alpha", "beta", "gamma") == {"alpha.things"}


def test_a_downgrade_to_a_revision_keeps_that_one(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    module = make_module("alpha").things()
    module.revision("add_nothing_things")
    module.revision("add_nothing_again_things")
    modules = [kernel, module.migrations]
    _migrations.upgrade(newest_database_url, modules).raise_for_failures()
    report = _migrations.downgrade(newest_database_url, modules, "alpha_0001")
    assert [r.revision for r in report.modules[0].applied] == ["alpha_0003", "alpha_0002"]
    assert current(newest_database_url, modules)[1].revision == "alpha_0001"


@pytest.mark.parametrize("target", ["nonsense", "+1", "-0", ""])
def test_a_downgrade_to_something_unknown_says_so(
    newest_database_url: str, kernel: ModuleMigrations, target: str
) -> None:
    _migrations.upgrade(newest_database_url, [kernel]).raise_for_failures()
    with pytest.raises(UnknownTarget, match="There is no revision"):
        _migrations.downgrade(newest_database_url, [kernel], target)


def test_a_downgrade_of_an_empty_database_has_nothing_to_take_back(
    newest_database_url: str, kernel: ModuleMigrations
) -> None:
    with pytest.raises(OperationError, match="nothing to take back"):
        _migrations.downgrade(newest_database_url, [kernel])


def test_the_kernels_tables_stay_while_others_have_theirs(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    modules = [kernel, make_module("alpha").things().migrations]
    _migrations.upgrade(newest_database_url, modules).raise_for_failures()
    report = _migrations.downgrade(newest_database_url, modules, "base", only="platform")
    assert "alpha still have tables here" in report.failed["platform"]
    assert rows(newest_database_url, "SELECT count(*) FROM platform.migrations") == [
        (len(KERNEL_REVISIONS) + 1,)
    ]


def test_upgrade_to_a_number_or_a_revision_goes_as_far_and_no_further(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    alpha, beta = make_module("alpha").things(), make_module("beta", requires=["alpha"]).things()
    alpha.revision("add_nothing_things")
    modules = [kernel, alpha.migrations, beta.migrations]

    def at() -> list[str | None]:
        return [module.revision for module in current(newest_database_url, modules)]

    _migrations.upgrade(
        newest_database_url, modules, target=f"+{len(KERNEL_REVISIONS) + 1}"
    ).raise_for_failures()
    assert at() == [KERNEL_REVISIONS[-1], "alpha_0001", None]
    _migrations.upgrade(newest_database_url, modules, target="+1").raise_for_failures()
    assert at() == [KERNEL_REVISIONS[-1], "alpha_0002", None]
    _migrations.downgrade(newest_database_url, modules, "-2")
    _migrations.upgrade(newest_database_url, modules, target="alpha_0001").raise_for_failures()
    assert at() == [KERNEL_REVISIONS[-1], "alpha_0001", None]
    with pytest.raises(UnknownTarget, match="no revision alpha_0009"):
        _migrations.upgrade(newest_database_url, modules, target="alpha_0009")


def test_upgrading_one_module_brings_along_what_it_needs_and_nothing_else(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    modules = [
        kernel,
        make_module("alpha").things().migrations,
        make_module("beta", requires=["alpha"]).things().migrations,
        make_module("gamma").things().migrations,
    ]
    report = _migrations.upgrade(newest_database_url, modules, only="beta")
    assert [module.name for module in report.modules] == ["platform", "alpha", "beta"]
    with pytest.raises(
        UnknownTarget, match=r"There is no module delta here\. Installed are: platform, alpha"
    ):
        _migrations.upgrade(newest_database_url, modules, only="delta")


def test_a_phase_stops_before_the_first_revision_of_the_other_kind_and_says_what_waits(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    module = make_module("alpha").things()
    module.revision("drop_old_things", phase="contract")
    module.revision("add_more_things")
    modules = [kernel, module.migrations]

    expand = _migrations.upgrade(newest_database_url, modules, phase="expand")
    assert [r.revision for r in expand.modules[1].applied] == ["alpha_0001"]
    assert [(w.revision, w.phase) for w in expand.modules[1].waiting] == [
        ("alpha_0002", "contract"),
        ("alpha_0003", "expand"),
    ]
    assert "alpha: waits for a run that includes it: alpha_0002 (contract), alpha_0003 (expand)" in list(
        expand.lines()
    )
    again = _migrations.upgrade(newest_database_url, modules, phase="expand")
    assert again.applied_count == 0
    assert again.modules[1].waiting == expand.modules[1].waiting

    contract = _migrations.upgrade(newest_database_url, modules, phase="contract")
    assert [r.revision for r in contract.modules[1].applied] == ["alpha_0002"]
    assert _migrations.upgrade(newest_database_url, modules).applied_count == 1


async def test_a_build_is_ready_when_only_contract_revisions_are_pending(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    module = make_module("alpha").things()
    modules = [kernel, module.migrations]
    state = await read_database(newest_database_url, modules)
    assert [str(m) for m in state.not_ready] == [
        f"platform: pending: {', '.join(KERNEL_REVISIONS)}",
        "alpha: pending: alpha_0001",
    ]
    _migrations.upgrade(newest_database_url, modules).raise_for_failures()
    module.revision("drop_old_things", phase="contract")
    state = await read_database(newest_database_url, modules)
    assert not state.not_ready
    assert str(state.modules["alpha"]) == "alpha: pending: alpha_0002"
    module.revision("add_more_things")
    assert [m.name for m in (await read_database(newest_database_url, modules)).not_ready] == ["alpha"]


def test_readiness_is_one_query(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    modules = [kernel, make_module("alpha").things().migrations]
    _migrations.upgrade(newest_database_url, modules).raise_for_failures()
    statements: list[str] = []

    class Counting(psycopg.Connection[tuple[object, ...]]):
        def execute(self, query, *args, **kwargs):  # type: ignore[no-untyped-def, override]  # only looked at
            statements.append(str(query))
            return super().execute(query, *args, **kwargs)

    with Counting.connect(newest_database_url.replace("+psycopg", ""), autocommit=True) as opened:
        assert not read_database_sync(opened, modules).not_ready
    assert len(statements) == 1


def test_the_sql_that_is_written_makes_the_same_database(
    database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    alpha = make_module("alpha").things(sa.Column("email", sa.Text))
    alpha.revision(
        "index_email_things", "safe.create_index_concurrently('ix_things_email', 'things', ['email'])"
    )
    alpha.revision("backfill_email_things", 'safe.backfill("things", "email = \'\'", where="email IS NULL")')
    alpha.revision("forbid_null_email_things", "safe.set_not_null('things', 'email')", phase="contract")
    beta = make_module(
        "beta", requires=["alpha"], links=[Link("things", "other_id", "alpha.things.id", "cascade")]
    )
    beta.things(sa.Column("other_id", sa.Uuid))
    modules = [kernel, alpha.migrations, beta.migrations]
    _migrations.upgrade(database_url, modules).raise_for_failures()
    with scratch_database(database_url) as by_hand, connection(by_hand) as opened:
        script = upgrade_sql(Goal(modules), {}, database=opened.info.dbname)
        for statement in _statements(script):
            opened.execute(statement)  # type: ignore[arg-type]  # made by us
        assert snapshot(by_hand) == snapshot(database_url)
        assert not read_database_sync(by_hand, modules).not_ready
        assert {*read_database_sync(by_hand, modules).roles} == {"platform", "alpha", "beta"}


def test_the_sql_begins_where_the_database_is(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    alpha = make_module("alpha").things()
    modules = [kernel, alpha.migrations]
    _migrations.upgrade(newest_database_url, modules, roles=False).raise_for_failures()
    alpha.revision("add_notes_things", "op.add_column('things', sa.Column('notes', sa.Text), schema='alpha')")
    script = upgrade_sql(Goal(modules), applied_revisions(newest_database_url, modules))
    assert "CREATE TABLE" not in script
    assert "ALTER TABLE alpha.things ADD COLUMN notes TEXT" in script
    with connection(newest_database_url) as opened:
        back = downgrade_sql(_migrations.downgrade_plan(opened, modules, "-1", None))
    assert "DROP TABLE alpha.things" in back


def test_a_ledger_that_disagrees_with_a_version_table_is_mended(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    module = make_module("alpha").things()
    modules = [kernel, module.migrations]
    _migrations.upgrade(newest_database_url, modules).raise_for_failures()
    with connection(newest_database_url) as opened:
        opened.execute("DELETE FROM platform.migrations WHERE module = 'alpha'")
    assert read_database_sync(newest_database_url, modules).not_ready
    assert _migrations.upgrade(newest_database_url, modules).applied_count == 0
    assert not read_database_sync(newest_database_url, modules).not_ready


def test_a_new_version_of_a_package_is_remembered_although_nothing_is_to_be_migrated(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    module = make_module("alpha").things()
    _migrations.upgrade(newest_database_url, [kernel, module.migrations]).raise_for_failures()
    module.version = "1.1"
    _migrations.upgrade(newest_database_url, [kernel, module.migrations]).raise_for_failures()
    assert rows(newest_database_url, "SELECT version FROM platform.modules WHERE name = 'alpha'") == [
        ("1.1",)
    ]


def test_a_permission_is_remembered_although_neither_version_nor_tables_have_changed(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    """A purge takes out of roles what is remembered, and nothing else."""
    alpha = make_module("alpha").things().migrations
    for permissions in (["things:read"], ["things:write", "things:read"], []):
        modules = [kernel, replace(alpha, permissions=permissions)]
        for _ in range(2):
            _migrations.upgrade(newest_database_url, modules).raise_for_failures()
        stored = rows(newest_database_url, "SELECT permissions FROM platform.modules WHERE name = 'alpha'")
        assert stored == [(permissions,)]


def _statements(script: str) -> list[str]:
    """Split a script as psql does, but for dollar-quoted bodies; concurrent indexes must not share a transaction."""
    parts, current_, quoted = [], "", False
    for line in script.splitlines(keepends=True):
        if line.startswith("--"):
            continue
        current_ += line
        quoted ^= line.count("$$") % 2 == 1
        if not quoted and line.rstrip().endswith(";"):
            parts.append(current_)
            current_ = ""
    return [part for part in parts if part.strip()]
