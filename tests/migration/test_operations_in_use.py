"""
What `platform_core.migrations` offers to revisions of tables in use.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from migration_rig import Throwaway, connection, rows

from platform_core import _migrations, migrations
from platform_core._migrations import ModuleMigrations
from platform_core._migrations.versions import current

Upgrade = Callable[[], _migrations.Report]


@pytest.fixture
def upgrade(database_url: str, kernel: ModuleMigrations, module: Throwaway) -> Upgrade:
    def run() -> _migrations.Report:
        return _migrations.upgrade(database_url, [kernel, module.migrations])

    run().raise_for_failures()
    return run


def definition(url: str, name: str) -> list[tuple[object, ...]]:
    return rows(url, "SELECT indexdef FROM pg_indexes WHERE schemaname = 'alpha' AND indexname = %s", name)


def test_an_index_is_made_and_dropped_as_described(
    upgrade: Upgrade, module: Throwaway, database_url: str, kernel: ModuleMigrations
) -> None:
    module.revision(
        "index_name_people",
        "safe.create_index_concurrently('ix_people_name', 'people', ['(lower(name))', 'number DESC'],"
        " where='number > 5', include=['id'])\n"
        "safe.create_index_concurrently('ix_people_number', 'people', ['number'], using='brin')",
        "safe.drop_index_concurrently('ix_people_number')\nsafe.drop_index_concurrently('ix_people_name')",
    )
    upgrade().raise_for_failures()
    assert definition(database_url, "ix_people_name") == [
        (
            "CREATE INDEX ix_people_name ON alpha.people USING btree (lower(name), number DESC) INCLUDE (id)"
            " WHERE (number > 5)",
        )
    ]
    assert "USING brin" in str(definition(database_url, "ix_people_number"))
    _migrations.downgrade(database_url, [kernel, module.migrations]).raise_for_failures()
    assert definition(database_url, "ix_people_name") == []


def test_an_index_that_is_there_already_stays(upgrade: Upgrade, module: Throwaway, database_url: str) -> None:
    with connection(database_url) as opened:
        opened.execute("CREATE INDEX ix_people_number ON alpha.people (number)")
        before = opened.execute("SELECT 'alpha.ix_people_number'::regclass::oid").fetchone()
        module.revision(
            "index_number_people", "safe.create_index_concurrently('ix_people_number', 'people', ['number'])"
        )
        upgrade().raise_for_failures()
        assert opened.execute("SELECT 'alpha.ix_people_number'::regclass::oid").fetchone() == before


def test_writers_are_not_stopped_while_an_index_waits_for_an_old_transaction(
    upgrade: Upgrade, module: Throwaway, database_url: str
) -> None:
    module.revision(
        "index_number_people", "safe.create_index_concurrently('ix_people_number', 'people', ['number'])"
    )
    with connection(database_url) as writer, connection(database_url) as old:
        old.execute("BEGIN")
        old.execute("UPDATE alpha.people SET name = 'x' WHERE number = 1")
        thread = threading.Thread(target=upgrade)
        thread.start()
        # longer than the lock time-out of other revisions: the index waits without being in anybody's way
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            began = time.monotonic()
            writer.execute("UPDATE alpha.people SET name = 'y' WHERE number = 2")
            assert time.monotonic() - began < 3, "stopped for as long as the index waits"
            time.sleep(0.05)
        old.execute("COMMIT")
        thread.join()
    assert definition(database_url, "ix_people_number") != []


def test_a_backfill_commits_batch_by_batch_and_goes_on_after_an_interruption(
    upgrade: Upgrade, module: Throwaway, database_url: str, tmp_path: Path
) -> None:
    stop = tmp_path / "go on"
    # the row numbered 1,500 cannot be filled in until the file is there
    path = module.revision(
        "backfill_name_people",
        f"""
        divisor = 'number - 1500' if not Path({str(stop)!r}).exists() else '1'
        safe.backfill(
            'people', f"name = 'n' || number / ({{divisor}}) * 0 || '%'", where='name IS NULL', batch_count=1000
        )
        """,
    )
    report = upgrade()
    assert f"({path.name}) failed: division by zero" in report.failed["alpha"]
    assert rows(database_url, "SELECT count(*) FROM alpha.people WHERE name IS NOT NULL") == [(1000,)]
    with connection(database_url) as opened:
        before = opened.execute(
            "SELECT id, xmin::text FROM alpha.people WHERE name IS NOT NULL ORDER BY id"
        ).fetchall()
        stop.touch()
        upgrade().raise_for_failures()
        assert opened.execute("SELECT name, count(*) FROM alpha.people GROUP BY 1").fetchall() == [
            ("n0%", 2500)
        ]
        after = opened.execute("SELECT id, xmin::text FROM alpha.people ORDER BY id LIMIT 1000").fetchall()
        assert after == before  # what was done was not touched again


def test_a_backfill_waits_for_a_row_that_somebody_holds_and_loses_nothing(
    upgrade: Upgrade, module: Throwaway, database_url: str
) -> None:
    module.revision("backfill_name_people", "safe.backfill('people', \"name = 'x'\", where='name IS NULL')")
    with connection(database_url) as other:
        other.execute("BEGIN")
        other.execute("SELECT FROM alpha.people WHERE number = 1200 FOR UPDATE")
        threading.Timer(3.0, lambda: other.execute("COMMIT")).start()
        upgrade().raise_for_failures()
    assert rows(database_url, "SELECT count(*) FROM alpha.people WHERE name = 'x'") == [(2500,)]


def test_a_backfill_that_never_ends_is_noticed(
    upgrade: Upgrade, module: Throwaway, database_url: str
) -> None:
    module.revision("backfill_name_people", "safe.backfill('people', \"number = 1\", where='name IS NULL')")
    assert 'some rows of "alpha"."people" still match `name IS NULL`' in upgrade().failed["alpha"]


def test_a_column_is_made_obligatory_without_reading_the_table_under_a_lock(
    upgrade: Upgrade, module: Throwaway, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module.revision("forbid_null_name_people", "safe.set_not_null('people', 'name')", phase="contract")
    report = upgrade()
    assert 'some rows of "alpha"."people" have no name' in report.failed["alpha"]
    assert rows(database_url, "SELECT conname FROM pg_constraint WHERE conname LIKE 'ck_people%%'") == []

    with connection(database_url) as opened:
        opened.execute("UPDATE alpha.people SET name = ''")
        upgrade().raise_for_failures()
        with pytest.raises(psycopg.errors.NotNullViolation):
            opened.execute("INSERT INTO alpha.people (number) VALUES (1)")
    assert rows(database_url, "SELECT conname FROM pg_constraint WHERE conname LIKE 'ck_people%%'") == []
    assert current(database_url, [module.migrations])[0].revision == "alpha_0002"


def test_a_foreign_key_is_added_to_a_table_in_use(
    upgrade: Upgrade, module: Throwaway, database_url: str
) -> None:
    module.revision(
        "add_friend_people", "op.add_column('people', sa.Column('friend_id', sa.Uuid), schema='alpha')"
    )
    module.revision(
        "refer_friend_people",
        "safe.add_foreign_key('fk_people_friend_id_people', 'people', 'friend_id', 'people.id', on_delete='CASCADE')",
    )
    upgrade().raise_for_failures()
    assert rows(
        database_url,
        "SELECT pg_get_constraintdef(oid), convalidated FROM pg_constraint"
        " WHERE conname = 'fk_people_friend_id_people'",
    ) == [("FOREIGN KEY (friend_id) REFERENCES alpha.people(id) ON DELETE CASCADE", True)]


def test_every_helper_says_how_it_is_used() -> None:
    for name in migrations.__all__:
        assert "Example:" in (getattr(migrations, name).__doc__ or ""), name
