"""
Migrations that are run by ten at once, killed half way, blocked by others, or wrong (B27 to B31).
"""

import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from migration_rig import KERNEL_REVISIONS, MakeModule, Throwaway, connection, rows, snapshot, tables

from platform_core import _migrations
from platform_core._migrations import ModuleMigrations, read_database_sync, run
from platform_core._migrations.check import check, scratch_database, wait
from platform_core._migrations.lock import migration_lock
from platform_core._migrations.offline import upgrade_sql
from platform_core._migrations.plan import Goal
from platform_core._migrations.versions import current
from platform_core.errors import MigrationFailed, OperationError
from platform_core.testing import RunningProcess, RunPlatform

ONCE = Path(__file__).parent / "migrate_once.py"

Migrating = Callable[[str, Throwaway], contextlib.AbstractContextManager[RunningProcess]]


@pytest.fixture
def migrating(run_platform: RunPlatform) -> Migrating:
    """Migrate the kernel and one module in a process of its own; begins at once, and may be killed."""

    def start(url: str, module: Throwaway) -> contextlib.AbstractContextManager[RunningProcess]:
        arguments = (url, module.name, str(module.directory))
        return run_platform(*arguments, env={"PYTHONPATH": os.pathsep.join(sys.path)}, program=ONCE)

    return start


# ── B27: ten at once ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.parametrize("applied_before", [0, 3], ids=["empty database", "previous release"])
def test_ten_processes_at_once_all_end_well_and_each_revision_runs_once(
    newest_database_url: str,
    kernel: ModuleMigrations,
    make_module: MakeModule,
    applied_before: int,
    migrating: Migrating,
) -> None:
    module = make_module("alpha").things()
    if applied_before:
        _migrations.upgrade(newest_database_url, [kernel, module.migrations]).raise_for_failures()
    module.revision(
        "index_versions_things", "safe.create_index_concurrently('ix_things_version', 'things', ['version'])"
    )
    module.revision("create_notes", "op.create_table('notes', sa.Column('id', sa.Uuid), schema='alpha')")

    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(migrating(newest_database_url, module)) for _ in range(10)]
        codes = [process.wait(timeout_seconds=170) for process in processes]
        outputs = "\n".join(process.output for process in processes)

    assert codes == [0] * 10, outputs
    assert rows(newest_database_url, "SELECT revision FROM platform.migrations ORDER BY id") == [
        *((revision,) for revision in KERNEL_REVISIONS),
        ("alpha_0001",),
        ("alpha_0002",),
        ("alpha_0003",),
    ]
    assert outputs.count("alpha_0003 create_notes") == 1
    # … and what they made together is what the SQL makes
    with scratch_database(newest_database_url) as by_hand, connection(by_hand) as opened:
        script = upgrade_sql(Goal([kernel, module.migrations]), {}, database=opened.info.dbname)
        for statement in _one_by_one(script):
            opened.execute(statement)  # type: ignore[arg-type]  # made by us
        assert snapshot(by_hand) == snapshot(newest_database_url)


def test_who_waits_too_long_is_told_who_migrates(newest_database_url: str, kernel: ModuleMigrations) -> None:
    told: list[str] = []
    with (
        migration_lock(newest_database_url, wait_seconds=1, waiting=told.append) as holder,
        pytest.raises(MigrationFailed, match=rf"server process {holder.info.backend_pid}, from local, since"),
    ):
        _migrations.upgrade(newest_database_url, [kernel], wait_seconds=0.3, progress=told.append)
    assert len(told) == 1
    assert told[0].startswith("another process is at it")


def test_a_waiting_migrator_does_not_hold_up_a_concurrent_index(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    # a session that waited inside PostgreSQL would hold a snapshot, and the index would wait for it for ever
    module = make_module("alpha").things()
    _migrations.upgrade(newest_database_url, [kernel, module.migrations]).raise_for_failures()
    with migration_lock(newest_database_url, wait_seconds=1, waiting=lambda _: None) as holder:
        waiting = threading.Event()
        other = threading.Thread(
            target=lambda: _wait_for_lock(newest_database_url, lambda _: waiting.set()), daemon=True
        )
        other.start()
        assert waiting.wait(5)
        holder.execute("SET statement_timeout = '5s'")
        holder.execute("CREATE INDEX CONCURRENTLY ix_slow ON alpha.things (version)")
    other.join(5)
    assert not other.is_alive()


def test_a_migrator_waits_for_the_statement_that_a_killed_one_left_running(
    newest_database_url: str, kernel: ModuleMigrations
) -> None:
    # the lock of a killed migrator is free at once, but its last statement may still run on the server
    with connection(newest_database_url) as left_running:
        left_running.execute("SELECT pg_advisory_lock(%s, 2)", (0x706C6174,))
        report = _migrations.upgrade(newest_database_url, [kernel], wait_seconds=0.3)
        assert "Another process has been at it" in report.failed["platform"]
    _migrations.upgrade(newest_database_url, [kernel], wait_seconds=1).raise_for_failures()


# ── B28: half way ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.processes
def test_a_migrator_killed_in_the_middle_leaves_the_version_where_it_was_and_the_next_one_succeeds(
    newest_database_url: str,
    kernel: ModuleMigrations,
    make_module: MakeModule,
    tmp_path: Path,
    migrating: Migrating,
) -> None:
    module, awake = make_module("alpha").things(), tmp_path / "awake"
    module.revision(
        "create_notes",
        f"op.create_table('notes', sa.Column('id', sa.Uuid), schema='alpha')\n"
        f"if not Path({str(awake)!r}).exists():\n    op.execute('SELECT pg_sleep(60)')",
    )
    with migrating(newest_database_url, module) as process:
        _wait_for_statement(newest_database_url, "SELECT pg_sleep(60)")
        process.kill()
    assert current(newest_database_url, [module.migrations])[0].revision is None
    assert tables(newest_database_url, "alpha") == set()

    awake.touch()
    began = time.monotonic()
    _migrations.upgrade(newest_database_url, [kernel, module.migrations]).raise_for_failures()
    assert tables(newest_database_url, "alpha") == {"alpha.things", "alpha.notes"}
    # the server notices that its client is gone (client_connection_check_interval), long before the 60 s are over
    assert time.monotonic() - began < 20


def test_a_failing_second_statement_takes_the_first_along(
    database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    module = make_module("alpha")
    path = module.revision(
        "create_notes", "op.execute('CREATE TABLE alpha.notes (id uuid)')\nop.execute('SELECT 1/0')"
    )
    report = _migrations.upgrade(database_url, [kernel, module.migrations])
    assert report.failed["alpha"].startswith(
        f"revision alpha_0001 ({path.name}) failed: division by zero. What its transaction had done is rolled back"
    )
    assert tables(database_url, "alpha") == set()
    assert rows(database_url, "SELECT revision FROM platform.migrations WHERE module = 'alpha'") == []

    path.write_text(
        path.read_text().replace("SELECT 1/0", "SELECT 10/10")
    )  # longer: compiled code goes by time and size
    _migrations.upgrade(database_url, [kernel, module.migrations]).raise_for_failures()
    assert tables(database_url, "alpha") == {"alpha.notes"}


def test_one_transaction_per_module_keeps_the_release_before_whole(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    module = make_module("alpha").things()
    module.revision("create_notes", "op.execute('SELECT 1/0')")
    report = _migrations.upgrade(newest_database_url, [kernel, module.migrations])
    assert not report.ok
    assert report.modules[1].applied == ()
    assert tables(newest_database_url, "alpha") == set()


def test_an_aborted_concurrent_index_is_repaired_by_running_again(
    database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    module = make_module("alpha")
    module.revision(
        "create_notes",
        "op.execute('CREATE TABLE notes (id int)')\nop.execute('INSERT INTO notes VALUES (1), (1)')",
    )
    _migrations.upgrade(database_url, [kernel, module.migrations]).raise_for_failures()
    module.revision(
        "index_id_notes", "safe.create_index_concurrently('uq_notes_id', 'notes', ['id'], unique=True)"
    )

    report = _migrations.upgrade(database_url, [kernel, module.migrations])
    assert "could not create unique index" in report.failed["alpha"]
    assert _index(database_url, "uq_notes_id") == [(False,)]  # PostgreSQL leaves it behind
    assert current(database_url, [module.migrations])[0].revision == "alpha_0001"

    with connection(database_url) as opened:
        opened.execute("DELETE FROM alpha.notes WHERE ctid = '(0,2)'")
    _migrations.upgrade(database_url, [kernel, module.migrations]).raise_for_failures()
    assert _index(database_url, "uq_notes_id") == [(True,)]


@pytest.mark.processes
def test_a_migrator_killed_while_it_builds_an_index_is_followed_by_one_that_builds_it_anew(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule, migrating: Migrating
) -> None:
    module = make_module("alpha").things()
    _migrations.upgrade(newest_database_url, [kernel, module.migrations]).raise_for_failures()
    module.revision(
        "index_versions_things", "safe.create_index_concurrently('ix_things_version', 'things', ['version'])"
    )
    with connection(newest_database_url) as reader, reader.transaction():
        # an old snapshot, for which the index has to wait
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM alpha.things")
        with migrating(newest_database_url, module) as process:
            _wait_for_statement(newest_database_url, "CREATE INDEX CONCURRENTLY%")
            process.kill()
    _migrations.upgrade(newest_database_url, [kernel, module.migrations]).raise_for_failures()
    assert _index(newest_database_url, "ix_things_version") == [(True,)]


# ── B29: one module fails ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_failing_module_takes_its_dependents_along_and_nobody_else(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    broken = make_module("beta").things()
    broken.revision("create_notes", "op.execute('CREATE TABLE alpha.things (id int)')")
    modules = [
        kernel,
        make_module("alpha").things().migrations,
        broken.migrations,
        make_module("delta", requires=["beta"]).things().migrations,
        make_module("epsilon", requires=["delta"]).things().migrations,
        make_module("gamma").things().migrations,
    ]
    report = _migrations.upgrade(newest_database_url, modules)
    assert {module.name: (module.ok, module.skipped_for) for module in report.modules} == {
        "platform": (True, None),
        "alpha": (True, None),
        "beta": (False, None),
        "delta": (False, "beta"),
        "epsilon": (False, "beta"),
        "gamma": (True, None),
    }
    assert report.failed["delta"] == "skipped, because beta failed"
    assert tables(newest_database_url, "alpha", "beta", "delta", "epsilon", "gamma") == {
        "alpha.things",
        "gamma.things",
    }
    state = read_database_sync(newest_database_url, modules)
    assert [module.name for module in state.not_ready] == ["beta", "delta", "epsilon"]
    assert {*state.roles} == {"platform", "alpha", "gamma"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise KeyError('missing')", "KeyError: 'missing'."),
        ("raise SystemExit(3)", "SystemExit: 3."),
        ("op.drop_table('nothing', schema='alpha')", 'table "nothing" does not exist.'),
    ],
)
def test_whatever_a_revision_raises_is_told_with_its_file(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule, body: str, words: str
) -> None:
    module = make_module("alpha")
    path = module.revision("create_notes", body)
    report = _migrations.upgrade(newest_database_url, [kernel, module.migrations])
    assert f"revision alpha_0001 ({path.name}) failed: {words}" in report.failed["alpha"]


def test_without_the_kernels_tables_nothing_else_is_tried(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    with connection(newest_database_url) as opened:
        opened.execute("CREATE SCHEMA platform; CREATE TABLE platform.seeds (id int)")
    report = _migrations.upgrade(newest_database_url, [kernel, make_module("alpha").things().migrations])
    assert "already exists" in report.failed["platform"]
    assert report.modules[1].skipped_for == "platform"


# ── B30: uninstalled, or newer ───────────────────────────────────────────────────────────────────────────────────────


def test_an_uninstalled_module_keeps_its_tables_and_is_in_nobodys_way(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    alpha, beta = make_module("alpha").things(), make_module("beta").things()
    _migrations.upgrade(newest_database_url, [kernel, alpha.migrations, beta.migrations]).raise_for_failures()
    shutil.rmtree(alpha.directory)
    beta.revision("create_notes", "op.execute('CREATE TABLE notes (id int)')")
    remaining = [kernel, beta.migrations]

    report = _migrations.upgrade(newest_database_url, remaining)
    assert report.ok
    assert report.applied_count == 1
    assert tables(newest_database_url, "alpha", "beta") == {"alpha.things", "beta.things", "beta.notes"}
    state = read_database_sync(newest_database_url, remaining)
    assert not state.not_ready
    assert state.uninstalled == ("alpha",)

    _migrations.downgrade(newest_database_url, remaining, "-2").raise_for_failures()
    with pytest.raises(OperationError, match="belongs to alpha, which is not installed"):
        _migrations.downgrade(newest_database_url, remaining)


def test_a_database_newer_than_the_build_is_refused_by_name_and_others_go_on(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    alpha, beta = make_module("alpha").things(), make_module("beta").things()
    newest = alpha.revision("create_notes", "op.execute('CREATE TABLE notes (id int)')")
    _migrations.upgrade(newest_database_url, [kernel, alpha.migrations, beta.migrations]).raise_for_failures()
    newest.unlink()  # the package of the release before
    beta.revision("create_notes", "op.execute('CREATE TABLE notes (id int)')")

    report = _migrations.upgrade(newest_database_url, [kernel, alpha.migrations, beta.migrations])
    assert {*report.failed} == {"alpha"}
    assert "the database is newer than this build. It is at revision alpha_0002" in report.failed["alpha"]
    assert (
        "version 1.0 of the installed package does not know; its newest is alpha_0001"
        in report.failed["alpha"]
    )
    assert "Install the version of alpha that migrated this database last" in report.failed["alpha"]
    assert "beta.notes" in tables(newest_database_url, "beta")
    assert "newer than this build" in (current(newest_database_url, [alpha.migrations])[0].problem or "")


@pytest.mark.parametrize(("phase", "may_serve"), [("expand", True), ("contract", False)])
def test_an_older_build_may_serve_as_long_as_only_expand_revisions_are_ahead_of_it(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule, phase: str, may_serve: bool
) -> None:
    module = make_module("alpha").things()
    newest = module.revision("create_notes", phase=phase)
    _migrations.upgrade(newest_database_url, [kernel, module.migrations]).raise_for_failures()
    newest.unlink()
    state = read_database_sync(newest_database_url, [kernel, module.migrations])
    assert str(state.modules["alpha"]) == "alpha: newer than this build: alpha_0002"
    assert (not state.not_ready) is may_serve


# ── B31: others use the tables ───────────────────────────────────────────────────────────────────────────────────────


def test_a_revision_gives_way_to_an_open_transaction_and_tries_again(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    module = make_module("alpha").things()
    _migrations.upgrade(newest_database_url, [kernel, module.migrations]).raise_for_failures()
    module.revision(
        "add_notes_things", "op.add_column('things', sa.Column('notes', sa.Text), schema='alpha')"
    )
    told: list[str] = []
    with _reading(newest_database_url, "alpha.things") as reader:
        threading.Timer(3.0, reader.rollback).start()
        waited = _longest_wait_of_others(newest_database_url, "alpha.things")
        with waited as longest:
            report = _migrations.upgrade(
                newest_database_url, [kernel, module.migrations], progress=told.append
            )
    assert report.ok
    assert any("a table is in use, trying again in" in line for line in told)
    # readers that came after the ALTER TABLE stood behind it for no longer than it waited itself
    assert longest.seconds < 2.5


def test_a_table_that_is_never_free_fails_with_words_that_help(
    newest_database_url: str,
    kernel: ModuleMigrations,
    make_module: MakeModule,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "LOCK_ATTEMPTS_COUNT", 1)
    module = make_module("alpha").things()
    _migrations.upgrade(newest_database_url, [kernel, module.migrations]).raise_for_failures()
    module.revision(
        "add_notes_things", "op.add_column('things', sa.Column('notes', sa.Text), schema='alpha')"
    )
    with _reading(newest_database_url, "alpha.things"):
        report = _migrations.upgrade(newest_database_url, [kernel, module.migrations])
    assert "somebody holds a lock that a revision needs" in report.failed["alpha"]
    assert "pg_stat_activity" in report.failed["alpha"]


# ── other ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_waiting_ends_when_somebody_else_has_migrated(
    newest_database_url: str, kernel: ModuleMigrations
) -> None:
    told: list[str] = []
    threading.Timer(0.7, lambda: _migrations.upgrade(newest_database_url, [kernel])).start()
    state = wait(newest_database_url, [kernel], timeout_seconds=30, waiting=told.append)
    assert not state.not_ready
    assert told[0] == f"platform: pending: {', '.join(KERNEL_REVISIONS)}"


def test_waiting_for_nothing_ends_with_what_is_missing(
    newest_database_url: str, kernel: ModuleMigrations
) -> None:
    with pytest.raises(MigrationFailed, match=r"After 0\.2 s .* platform: pending: platform_0001"):
        wait(newest_database_url, [kernel], timeout_seconds=0.2, waiting=lambda _: None)


def test_a_database_that_does_not_answer_says_what_to_look_at(kernel: ModuleMigrations) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    with pytest.raises(MigrationFailed, match=r"does not answer: .* Check DATABASE_URL"):
        _migrations.upgrade(nowhere, [kernel])
    with pytest.raises(MigrationFailed, match="does not answer"):
        wait(nowhere, [kernel], timeout_seconds=0.1, waiting=lambda _: None)


def test_the_check_finds_what_a_downgrade_leaves_and_what_a_model_lacks(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    careless = make_module("alpha").things()
    careless.revision("create_notes", "op.execute('CREATE TABLE IF NOT EXISTS notes (id int)')", "pass")
    found = [
        str(p) for p in check(newest_database_url, [kernel, careless.migrations], progress=lambda _: None)
    ]
    assert "alpha, models, after up: remove table: alpha.notes" in found
    assert "alpha, down: alpha.notes is still there" in found
    with connection(newest_database_url) as opened:
        left = opened.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE %s", ("%\\_check\\_%",)
        ).fetchall()
    assert left == []


# ── tools ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _wait_for_lock(url: str, waiting: object) -> None:
    with migration_lock(url, wait_seconds=20, waiting=waiting):  # type: ignore[arg-type]  # a callback
        pass


def _wait_for_statement(url: str, pattern: str) -> None:
    deadline = time.monotonic() + 30
    while not rows(
        url,
        "SELECT pid FROM pg_stat_activity WHERE query LIKE %s AND pid <> pg_backend_pid()"
        " AND state = 'active' AND datname = current_database()",
        pattern,
    ):
        assert time.monotonic() < deadline, f"nobody runs {pattern}"
        time.sleep(0.05)


def _index(url: str, name: str) -> list[tuple[object, ...]]:
    return rows(
        url,
        "SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relname = %s",
        name,
    )


@contextlib.contextmanager
def _reading(url: str, table: str) -> Iterator[psycopg.Connection[object]]:
    """Have a transaction open that has read a table."""
    with connection(url) as reader:
        reader.execute("BEGIN")
        reader.execute(f"SELECT count(*) FROM {table}")  # type: ignore[arg-type]  # a name of the test's
        yield reader
        reader.rollback()


class _Longest:
    seconds = 0.0


@contextlib.contextmanager
def _longest_wait_of_others(url: str, table: str) -> Iterator[_Longest]:
    """Read the table all the time, and remember how long the longest read took."""
    longest, stop = _Longest(), threading.Event()

    def read() -> None:
        with connection(url) as reader:
            while not stop.is_set():
                began = time.monotonic()
                reader.execute(f"SELECT count(*) FROM {table}")  # type: ignore[arg-type]  # as above
                longest.seconds = max(longest.seconds, time.monotonic() - began)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield longest
    finally:
        stop.set()
        thread.join()


def _one_by_one(script: str) -> list[str]:
    parts, part, quoted = [], "", False
    for line in (line for line in script.splitlines(keepends=True) if not line.startswith("--")):
        part += line
        quoted ^= line.count("$$") % 2 == 1
        if not quoted and line.rstrip().endswith(";"):
            parts.append(part)
            part = ""
    return [part for part in parts if part.strip()]
