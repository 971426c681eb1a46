"""`platform modules remove`: told first, drained, kept or purged; afterwards a database where it never was."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from ledger.application import Deposit, OpenAccount

from platform_core._migrations import links, lock, roles, upgrade
from platform_core._migrations.plan import installed_migrations, kernel_migrations
from platform_core._module_operations import DisableModule, EnableModule
from platform_core._modules import archive, exports, removal
from platform_core.app import Kernel
from platform_core.cli.modules._remove import _drain, _end
from platform_core.declarations import GoneModule
from platform_core.errors import OperationError
from platform_core.settings import read_settings
from platform_core.testing import (
    PlatformFactory,
    PluginSource,
    RunningPlatform,
    RunPlatform,
    eventually,
    plugins_installed,
)
from user_management.application import CreateRole, GetRole

if TYPE_CHECKING:
    from conftest import Loader

LEDGER = Path(__file__).parent / "plugins" / "ledger"
Remove = Callable[..., Awaitable[Any]]

CATALOGUE = {
    "relations": "SELECT n.nspname, c.relname, c.relkind, c.relacl::text FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'",
    "columns": "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns"
    " WHERE table_schema !~ '^pg_' AND table_schema <> 'information_schema'",
    "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint",
    "functions": "SELECT oid::regprocedure::text, proacl::text FROM pg_proc"
    " WHERE pronamespace::regnamespace::text !~ '^pg_'",
    "schemas": "SELECT nspname, nspacl::text FROM pg_namespace WHERE nspname !~ '^pg_'",
    "default rights": "SELECT defaclnamespace::regnamespace::text, defaclobjtype, defaclacl::text FROM pg_default_acl",
    "roles": "SELECT rolname FROM pg_roles WHERE rolname LIKE current_database() || '%'",
    "modules": "SELECT name, version, links::text, role, requires FROM platform.modules",
    "migrations": "SELECT module, revision FROM platform.migrations",
    "subscriptions": "SELECT handler, event_name FROM platform.subscriptions",
    "seeds": "SELECT module, name FROM platform.seeds",
    "deliveries": "SELECT handler FROM platform.deliveries",
    "sagas": "SELECT name FROM platform.sagas",
    "switches": "SELECT off::text FROM platform.module_switches",
}


def catalogue(url: str) -> dict[str, list[str]]:
    """Everything that a database says about what is in it, in an order of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        return {
            what: sorted(map(str, connection.execute(query.encode()).fetchall()))
            for what, query in CATALOGUE.items()
        }


@pytest.fixture
def command(p: RunningPlatform, run_platform: RunPlatform, tmp_path: Path) -> Remove:
    """Run `platform modules …` beside the platform of the test; returns its exit code, output and errors."""

    async def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
        errors = tmp_path / "errors"
        with run_platform(
            "modules", *arguments, env={**p.environment, **environment}, errors=errors
        ) as process:
            code = await asyncio.to_thread(process.wait, timeout_seconds=120)
            return code, process.output, errors.read_text()

    return run


async def busy(p: RunningPlatform) -> Any:
    """Let something happen, and leave what follows from it waiting."""
    account = await p.execute(OpenAccount(owner="Ann"))
    for amount in (1, 2, 3):
        await p.execute(Deposit(account_id=account.id, amount=amount))
    return account


async def test_without_yes_it_is_only_told(p: RunningPlatform, command: Remove) -> None:
    await busy(p)
    before = catalogue(p.database_url)
    code, out, _ = await command("remove", "ledger", "--json")
    told = json.loads(out)
    assert (code, told["done"]) == (0, False)
    assert told["plan"]["tables"]["accounts"] == 1
    assert told["plan"]["waiting"]["ledger.note_deposit"] == 3
    assert told["plan"]["dependents"] == []
    assert catalogue(p.database_url) == before
    _, out, _ = await command("remove", "ledger")
    assert "deliveries that wait" in out
    assert out.endswith(
        "Nothing has been done. --yes takes it out and keeps its data; --yes --purge drops them, too.\n"
    )


async def test_taken_out_it_has_worked_off_what_waited_and_comes_back_as_it_was(
    p: RunningPlatform, command: Remove
) -> None:
    account = await busy(p)
    code, out, errors = await command("remove", "ledger", "--yes")
    assert code == 0, out + errors
    assert "ledger is out, its data are kept." in out
    assert {d.status for d in await p.deliveries("ledger.note_deposit")} == {"done"}
    assert await p.sql("SELECT handler FROM platform.subscriptions WHERE module = 'ledger'") == []
    assert p.kernel.switches.off == {"ledger": 404}
    assert p.kernel.switches.resting == {"ledger"}
    await p.execute(Deposit(account_id=account.id, amount=4))
    assert len(await p.deliveries("ledger.note_deposit")) == 3  # nothing more is kept for it
    await p.kernel.announce()  # a process that starts now keeps nothing for it either
    assert await p.sql("SELECT handler FROM platform.subscriptions WHERE module = 'ledger'") == []

    assert (await command("enable", "ledger"))[0] == 0
    await eventually(lambda: _is_on(p), within_seconds=2)
    await p.execute(Deposit(account_id=account.id, amount=5))
    await p.deliver()
    assert [d.status for d in await p.deliveries("ledger.note_deposit")] == ["done"] * 4


async def _is_on(p: RunningPlatform) -> bool:
    return not p.kernel.switches.off


async def test_what_happens_from_the_moment_of_the_switch_is_kept_for_a_module_that_comes_back(
    p: RunningPlatform,
) -> None:
    await p.kernel.announce()
    account = await p.execute(OpenAccount(owner="Ann"))
    await p.execute(DisableModule(module="ledger", is_removal=True))
    with psycopg.connect(p.database_url, autocommit=True) as connection:
        removal.unsubscribe(connection, "ledger")
    await p.execute(DisableModule(module="ledger", reason="nobody enabled it yet"))
    await eventually(lambda: _is_at(p, 2), within_seconds=2)
    await p.kernel.announce()
    await p.execute(Deposit(account_id=account.id, amount=1))
    assert await p.deliveries("ledger.note_deposit") == []

    await p.execute(EnableModule(module="ledger"))  # nobody has announced anything since
    await p.execute(Deposit(account_id=account.id, amount=2))
    assert [d.status for d in await p.deliveries("ledger.note_deposit")] == ["pending"]


async def test_a_release_adds_a_handler_to_a_module_that_is_off_and_it_misses_nothing(
    p: RunningPlatform,
) -> None:
    account = await p.execute(OpenAccount(owner="Ann"))
    await p.execute(DisableModule(module="ledger"))
    await eventually(lambda: _is_at(p, 1), within_seconds=2)
    await p.sql(
        "DELETE FROM platform.subscriptions WHERE handler = 'ledger.note_deposit'"
    )  # as it was before
    await p.kernel.announce()
    await p.execute(Deposit(account_id=account.id, amount=1))
    assert [d.status for d in await p.deliveries("ledger.note_deposit")] == ["pending"]


async def _is_at(p: RunningPlatform, epoch: int) -> bool:
    return p.kernel.switches.epoch == epoch


async def test_what_cannot_be_worked_off_stops_it_until_it_is_given_up(
    p: RunningPlatform, command: Remove
) -> None:
    await busy(p)
    # the package is gone: nobody can handle what waits
    elsewhere = {"PLATFORM_MODULES": "courses"}
    code, _, errors = await command("remove", "ledger", "--yes", "--purge", **elsewhere)
    assert code == 1
    assert "Deliveries wait for ledger and nobody is installed who could handle them" in errors
    assert "1 of ledger.greet_owner, 3 of ledger.note_deposit" in errors
    assert removal_traces(p)
    assert p.kernel.switches.off == {"ledger": 404}, "whoever has it loaded has closed it"
    await p.kernel.announce()
    assert await p.sql("SELECT handler FROM platform.subscriptions WHERE module = 'ledger'") == []
    code, out, errors = await command(
        "remove", "ledger", "--yes", "--purge", "--discard", "--json", **elsewhere
    )
    assert (code, json.loads(out)["left"]) == (0, []), errors


def removal_traces(p: RunningPlatform) -> Any:
    with psycopg.connect(p.database_url, autocommit=True) as connection:
        return removal.traces(connection, "ledger")


async def test_after_a_purge_nothing_is_left_of_it_but_an_archive(
    p: RunningPlatform, command: Remove, tmp_path: Path
) -> None:
    await busy(p)
    archive = tmp_path / "ledger.zip"
    code, out, errors = await command("remove", "ledger", "--yes", "--purge", "--export", str(archive))
    assert code == 0, out + errors
    assert "ledger is gone: no schema, no role, no line in any registry is left of it." in out
    assert "left out" not in errors, "nobody complains of a module that is being taken out"
    assert removal_traces(p) == []
    await p.kernel.announce()  # whoever still has it loaded keeps it closed
    assert p.kernel.switches.off == {"ledger": 404}
    environment = {**p.environment, "PLATFORM_MODULES": "courses"}
    without = Kernel.load(read_settings(environment), environment)
    async with without.running():
        await without.announce()
    assert await p.sql("SELECT off FROM platform.module_switches") == [{"off": {}}]
    _is_whole(archive)


def test_its_catalogue_and_its_registries_equal_those_of_before_it_came(
    fresh_database_url: str, load: Loader
) -> None:
    url, kernel = fresh_database_url, load(LEDGER)
    upgrade(url, [kernel_migrations()], roles=True).raise_for_failures()
    before = catalogue(url)
    upgrade(url, kernel.migrations, roles=True).raise_for_failures()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO platform.subscriptions (handler, module) VALUES ('ledger.note_deposit', 'ledger')"
        )
        connection.execute(
            "INSERT INTO platform.seeds (module, name, tier) VALUES ('ledger', 'house', 'essential')"
        )
    assert catalogue(url) != before
    assert removal.purge(url, "ledger", progress=print) == []
    assert catalogue(url) == before


@pytest.mark.parametrize("where", [(links, "remove_links"), (roles, "drop")])
def test_a_purge_that_was_killed_is_finished_by_the_next(
    fresh_database_url: str, load: Loader, monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str]
) -> None:
    url, kernel = fresh_database_url, load(LEDGER)
    upgrade(url, [kernel_migrations()], roles=True).raise_for_failures()
    before = catalogue(url)
    upgrade(url, kernel.migrations, roles=True).raise_for_failures()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(*where, killed)
        with pytest.raises(KeyboardInterrupt):
            removal.purge(url, "ledger", progress=print)
    with psycopg.connect(url, autocommit=True) as connection:
        removal.plan(connection, "ledger", [])  # it still finds what there is to take out
    assert removal.purge(url, "ledger", progress=print) == []
    assert catalogue(url) == before


async def test_what_is_dropped_is_what_was_exported_because_nobody_writes_in_between(
    p: RunningPlatform, tmp_path: Path
) -> None:
    await busy(p)
    archive, refused = tmp_path / "ledger.zip", 0
    with psycopg.connect(p.database_url, autocommit=True) as late:
        late.execute("SET lock_timeout = '50ms'")

        def write_late(_line: str) -> None:
            nonlocal refused
            with pytest.raises(psycopg.errors.LockNotAvailable):
                late.execute("UPDATE ledger.accounts SET owner = 'somebody who came late'")
            refused += 1

        plan = removal.plan(late, "ledger", p.kernel.plugins)
        source = dict(p.environment)
        left = await asyncio.to_thread(_end, source, plan, archive, purge=True, progress=write_late)
    assert list(left) == []
    assert refused == len(plan.tables)
    _is_whole(archive)


async def test_a_purge_after_an_export_of_its_own_stops_where_something_was_written_since(
    p: RunningPlatform, tmp_path: Path
) -> None:
    account = await busy(p)
    with psycopg.connect(p.database_url, autocommit=True) as connection:
        plan = removal.plan(connection, "ledger", p.kernel.plugins)

    async def end(export: Path | None = None, **options: bool) -> Any:
        return await asyncio.to_thread(_end, dict(p.environment), plan, export, progress=print, **options)

    await end(tmp_path / "first.zip", purge=False)
    await p.execute(Deposit(account_id=account.id, amount=4))
    before = catalogue(p.database_url)
    with pytest.raises(
        OperationError, match=r"exported to first.zip at .* accounts \(1 row then, 1 row now\)"
    ):
        await end(purge=True)
    assert catalogue(p.database_url) == before
    await end(tmp_path / "second.zip", purge=False)
    assert list(await end(purge=True)) == []
    assert removal_traces(p) == []


def test_the_same_rows_have_the_same_sum_whoever_asks(fresh_database_url: str) -> None:
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA blog")
        connection.execute("CREATE TABLE blog.authors ()")
        connection.execute(
            "CREATE TABLE blog.posts AS SELECT timestamptz '2026-11-23 12:00Z' AS at, interval '1 day 2 hours' AS kept,"
            " '\\xc3a9'::bytea AS raw, 0.1::float8 + 0.2 AS share,"
            " regclass 'blog.authors' AS other"
        )
    sums = []
    for settings in (
        {"TimeZone": "UTC"},
        {"TimeZone": "Asia/Tokyo"},
        {"DateStyle": "German"},
        {"IntervalStyle": "iso_8601"},
        {"bytea_output": "escape"},
        {"extra_float_digits": "-3"},
        {"search_path": "blog"},
    ):
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        for autocommit in (True, False):
            with psycopg.connect(fresh_database_url, autocommit=autocommit, options=options) as connection:
                sums.append(exports.contents(connection, "blog", ["posts"]))
                for name, value in settings.items():  # an export that goes on writes as it would have
                    shown = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
                    assert shown is not None
                    assert shown[0].startswith(value)
    assert sums == [sums[0]] * len(sums)


def test_a_reader_delays_a_purge_and_nothing_is_read_in_vain(
    fresh_database_url: str, load: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, kernel = fresh_database_url, load(LEDGER)
    upgrade(url, [kernel_migrations(), *kernel.migrations], roles=True).raise_for_failures()
    monkeypatch.setattr(lock, "LOCK_TIMEOUT_MS", 100)
    told, reads = [], 0

    def read(_connection: psycopg.Connection[Any]) -> None:
        nonlocal reads
        reads += 1

    with psycopg.connect(url) as reader:
        reader.execute("SELECT FROM ledger.accounts")

        def progress(line: str) -> None:
            told.append(line)
            reader.commit()

        assert removal.purge(url, "ledger", progress=progress, last=read) == []
    assert len(told) == 1
    assert "ledger: a table is in use" in told[0]
    assert reads == 1


async def test_an_export_that_is_not_remembered_is_not_there(
    p: RunningPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(exports, "contents", killed)
    with psycopg.connect(p.database_url, autocommit=True) as connection:
        plan = removal.plan(connection, "ledger", p.kernel.plugins)
    with pytest.raises(KeyboardInterrupt):
        archive.export(p.database_url, plan, tmp_path / "ledger.zip", lambda _line: None)
    assert not (tmp_path / "ledger.zip").exists()


async def test_a_purge_whose_end_failed_is_finished_by_the_same_command_and_its_export_stays(
    p: RunningPlatform, command: Remove, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await busy(p)
    archive = tmp_path / "ledger.zip"
    with psycopg.connect(p.database_url, autocommit=True) as connection:
        plan = removal.plan(connection, "ledger", p.kernel.plugins)

    async def fails(kernel: Kernel, gone: GoneModule) -> None:
        raise OperationError("courses could not forget. Run this again.")

    source = dict(p.environment)
    with monkeypatch.context() as failing:
        failing.setattr(Kernel, "forget", fails)
        with pytest.raises(OperationError, match="Run this again"):
            await asyncio.to_thread(_end, source, plan, archive, purge=True, progress=print)
    written = archive.read_bytes()
    code, out, errors = await command("remove", "ledger", "--yes", "--purge", "--export", str(archive))
    assert code == 0, out + errors
    assert "ledger is gone" in out
    assert "its data are in the file that the first run has written" in errors
    assert archive.read_bytes() == written
    _is_whole(archive)
    assert removal_traces(p) == []


async def test_what_a_module_claimed_and_another_one_declares_stays_in_roles(
    platform: PlatformFactory, tmp_path: Path
) -> None:
    thief = PluginSource(
        name="thief",
        files={
            "plugin.py": "from platform_core import hookimpl\n"
            "from platform_core.declarations import Permission\n"
            "@hookimpl\n"
            "def register_permissions():\n"
            "    return [Permission('users:read', 'Mine'), Permission('thief:steal', 'Mine, too')]\n"
        },
    )
    async with platform(["user_management"]) as p:
        role = await p.execute(CreateRole(name="helper", permissions=["users:read"]))
        with plugins_installed(thief, into=tmp_path / "thief"):
            installed = installed_migrations(["user_management", "thief"])
        # a start refuses it; migrations, which come before, compare no names
        upgrade(p.database_url, installed.modules, roles=True).raise_for_failures()
        with psycopg.connect(p.database_url, autocommit=True) as connection:
            plan = removal.plan(connection, "thief", [])
        assert sorted(plan.permissions) == ["thief:steal", "users:read"]
        source = dict(p.environment)
        left = await asyncio.to_thread(_end, source, plan, None, purge=True, progress=print)
        assert list(left) == []
        assert (await p.ask(GetRole(role_id=role.id))).permissions == ["users:read"]


async def test_an_export_is_on_the_disk_with_its_name_before_anything_is_dropped(
    p: RunningPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `fsync` was asked for cannot be seen afterwards but by pulling the plug."""
    path, sync = tmp_path / "ledger.zip", os.fsync
    synced: list[tuple[str, bool]] = []

    def noting(file: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{file}"), path.exists()))
        sync(file)

    monkeypatch.setattr(os, "fsync", noting)
    with psycopg.connect(p.database_url, autocommit=True) as connection:
        plan = removal.plan(connection, "ledger", p.kernel.plugins)
    archive.export(p.database_url, plan, path, lambda _line: None)
    assert synced == [(f"{path}.unfinished", False), (str(tmp_path), True)]


async def test_permissions_of_a_module_that_is_gone_are_in_no_role_any_more(
    platform: PlatformFactory,
) -> None:
    async with platform(["user_management", "courses"]) as p:
        with psycopg.connect(p.database_url, autocommit=True) as connection:
            plan = removal.plan(connection, "courses", [])  # its package need not be there
        wanted = sorted(info.name for info in p.kernel.permissions if info.module == "courses")
        assert sorted(plan.permissions) == wanted != []
        role = await p.execute(CreateRole(name="teacher", permissions=[*wanted, "users:read"]))
        other = await p.execute(CreateRole(name="helper", permissions=["users:read"]))
        gone = GoneModule(name="courses", permissions=plan.permissions)
        for _ in range(2):  # a purge that was interrupted runs again
            await p.kernel.forget(gone)
        assert (await p.ask(GetRole(role_id=role.id))).permissions == ["users:read"]
        assert await p.ask(GetRole(role_id=other.id)) == other


def _is_whole(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        assert (manifest["module"], manifest["revision"]) == ("ledger", "ledger_0001")
        for table in manifest["tables"]:
            data = archive.read(table["file"])
            assert hashlib.sha256(data).hexdigest() == table["sha256"]
            header, *rows = csv.reader(io.StringIO(data.decode()))
            assert header == [column["name"] for column in table["columns"]]
            assert len(rows) == table["rows"]
        assert {table["name"]: table["rows"] for table in manifest["tables"]}["accounts"] == 1


async def test_nothing_is_dropped_from_under_what_somebody_has_built_upon_it(
    p: RunningPlatform, command: Remove
) -> None:
    await busy(p)
    await p.sql("CREATE VIEW public.owners AS SELECT id FROM ledger.accounts")
    code, _, errors = await command("remove", "ledger", "--yes", "--purge")
    assert code == 1
    assert "Something outside of ledger hangs on its tables: view owners depends on table" in errors
    assert len(await p.sql("SELECT id FROM ledger.accounts")) == 1


async def test_a_module_stays_while_another_one_requires_it_installed_or_not(
    platform: PlatformFactory,
) -> None:
    async with platform(["user_management", "courses", "orders"]) as p:
        with psycopg.connect(p.database_url, autocommit=True) as connection:
            installed = p.kernel.plugins
            for present in (installed, [plugin for plugin in installed if plugin.name != "orders"]):
                plan = removal.plan(connection, "courses", present)
                with pytest.raises(OperationError, match="courses is required by orders"):
                    plan.check()
            assert "orders.orders.buyer_id → user_management.users.id" in (
                removal.plan(connection, "orders", installed).links
            )
            with pytest.raises(OperationError, match="No module nowhere was ever migrated"):
                removal.plan(connection, "nowhere", installed)


def idler(name: str, seconds: float) -> PluginSource:
    """Make a module with one task, which takes so long."""
    code = f"""
import asyncio
from dataclasses import dataclass
from platform_core import hookimpl
from platform_core.declarations import Services, Task
from platform_core.domain import Command

@dataclass(frozen=True, kw_only=True)
class Idle(Command[None]): ...

async def idle(command: Idle) -> None:
    await asyncio.sleep({seconds})

@hookimpl
def register_services():
    return Services(commands={{Idle: idle}})

@hookimpl
def register_tasks():
    return [Task(command=Idle)]
"""
    return PluginSource(name=name, manifest=f'title = "{name.title()}"\n', files={"plugin.py": code})


async def test_only_what_waits_for_the_module_is_worked_off_and_there_is_an_end_to_it(
    platform: PlatformFactory,
) -> None:
    settings = {"PLATFORM_SHUTDOWN_GRACE_SECONDS": "0"}
    async with platform(extra=[idler("quick", 0), idler("slow", 60)], settings=settings) as p:
        for handler in ("quick.idle", "slow.idle"):
            await p.sql(
                "INSERT INTO platform.deliveries (id, handler, command, context)"
                f" VALUES (gen_random_uuid(), '{handler}', '{{}}', '{{}}')"
            )
        async with asyncio.timeout(10):
            await _drain(p.kernel, p.database_url, "quick", 5)
        [done], [others] = await p.deliveries("quick.idle"), await p.deliveries("slow.idle")
        assert (done.status, others.status, others.attempts_count) == ("done", "pending", 0)

        async with asyncio.timeout(10):
            await _drain(p.kernel, p.database_url, "slow", 1)
        [cut_off] = await p.deliveries("slow.idle")
        assert (cut_off.status, cut_off.attempts_count) == ("pending", 0), "it was given back"
