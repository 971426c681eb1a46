"""
What `platform db rehearse` tells of pending revisions, and that nothing is left of the copy it tells it by.
"""

import contextlib
import secrets
import sys
from collections.abc import Iterator

import pytest
from migration_rig import Throwaway, connection, rows
from psycopg import sql
from sqlalchemy.engine import make_url

from platform_core import _migrations
from platform_core._migrations import ModuleMigrations, read_database_sync
from platform_core._migrations.clone import _piped, _prefix
from platform_core._migrations.rehearsal import Rehearsal, lines, rehearse
from platform_core._migrations.watch import WatchedRevision
from platform_core.errors import MigrationFailed

newest = pytest.mark.parametrize("database_url", ["newest"], indirect=True)
"""Where the version of PostgreSQL makes no difference."""


@pytest.fixture
def modules(database_url: str, kernel: ModuleMigrations, module: Throwaway) -> list[ModuleMigrations]:
    """The kernel and the module, migrated; what a test adds is pending."""
    modules = [kernel, module.migrations]
    _migrations.upgrade(database_url, modules).raise_for_failures()
    return modules


@pytest.fixture(autouse=True)
def nothing_is_left(database_url: str) -> Iterator[None]:
    yield
    assert copies(database_url) == []


def copies(url: str) -> list[str]:
    name = make_url(url).database
    return [
        found
        for (found,) in rows(
            url, "SELECT datname FROM pg_database WHERE datname LIKE %s", f"{name}%rehearsal%"
        )
    ]


def by_name(rehearsal: Rehearsal) -> dict[str, WatchedRevision]:
    return {seen.revision: seen for seen in rehearsal.revisions}


@pytest.mark.parametrize("is_in_use", [False, True], ids=["nobody is connected", "in use"])
def test_locks_rows_and_sizes_of_each_revision_are_told(
    database_url: str, module: Throwaway, modules: list[ModuleMigrations], is_in_use: bool
) -> None:
    module.revision("add_phone_people", "op.add_column('people', sa.Column('phone', sa.Text))")
    module.revision(
        "widen_number_people", "op.alter_column('people', 'number', type_=sa.BigInteger())", phase="contract"
    )
    module.revision(
        "index_number_people", "safe.create_index_concurrently('ix_number', 'people', ['number'])"
    )
    module.revision("fill_phone_people", "safe.backfill('people', \"phone = ''\", where='phone IS NULL')")
    with contextlib.ExitStack() as users:
        if is_in_use:
            users.enter_context(connection(database_url))
        rehearsal = rehearse(database_url, modules)

    assert rehearsal.ok
    assert rehearsal.how == ("dump" if is_in_use else "files")
    assert rehearsal.bytes_before > 1_000_000
    seen = by_name(rehearsal)
    assert [*seen] == ["alpha_0002", "alpha_0003", "alpha_0004", "alpha_0005"]
    for name in ("alpha_0002", "alpha_0003"):
        strongest = seen[name].locks[0]
        assert (strongest.relation, strongest.mode) == ("alpha.people", "ACCESS EXCLUSIVE")
        assert (strongest.stops, strongest.taken_by) == ("reads and writes", "alpha_0002")  # one transaction
    assert seen["alpha_0002"].tables == ()
    assert [lock for name in ("alpha_0004", "alpha_0005") for lock in seen[name].locks if lock.stops] == []
    (rewritten,) = seen["alpha_0003"].tables
    assert (rewritten.relation, rewritten.rewritten) == ("alpha.people", 2500)
    (indexed,) = seen["alpha_0004"].tables
    assert indexed.bytes_after > indexed.bytes_before
    (filled,) = seen["alpha_0005"].tables
    assert (filled.updated, filled.inserted, filled.rewritten) == (2500, 0, 0)
    shown = {row[0]: row for row in lines(rehearsal)}
    assert shown["alpha_0003"][3].startswith("alpha.people: reads and writes ")
    assert shown["alpha_0005"][3:5] == ("nobody", "alpha.people: 2500 updated")
    state = read_database_sync(database_url, modules)
    assert len(state.modules["alpha"].pending) == 4


@newest
def test_only_what_a_release_would_run_is_rehearsed(
    database_url: str, module: Throwaway, modules: list[ModuleMigrations]
) -> None:
    assert rehearse(database_url, modules).how is None
    module.revision("add_phone_people", "op.add_column('people', sa.Column('phone', sa.Text))")
    module.revision("drop_name_people", "op.drop_column('people', 'name')", phase="contract")
    assert [*by_name(rehearse(database_url, modules, phase="expand"))] == ["alpha_0002"]
    assert rehearse(database_url, modules, phase="contract").how is None


@newest
def test_a_revision_that_fails_is_told_and_what_an_earlier_rehearsal_left_is_swept(
    database_url: str, module: Throwaway, modules: list[ModuleMigrations]
) -> None:
    module.revision("add_phone_people", "op.add_column('people', sa.Column('phone', sa.Text))")
    module.revision("mend_number_people", "op.execute('UPDATE alpha.people SET number = 1 / (number - 7)')")
    left = f"{_prefix(make_url(database_url).database or '')}0123abcd"
    with connection(database_url) as opened:
        opened.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(left)))
    told: list[str] = []
    rehearsal = rehearse(database_url, modules, progress=told.append)
    assert not rehearsal.ok
    assert "revision alpha_0003" in (rehearsal.failed or {})["alpha"]
    assert "division by zero" in (rehearsal.failed or {})["alpha"]
    assert told[0] == f"{left} was left by a rehearsal that was killed; it is dropped"


@newest
def test_where_there_is_no_room_nothing_is_copied(
    database_url: str, module: Throwaway, modules: list[ModuleMigrations]
) -> None:
    module.revision("add_phone_people", "op.add_column('people', sa.Column('phone', sa.Text))")
    with pytest.raises(
        MigrationFailed, match=r"needs up to [\d.]+ MB, and 1.0 MB are free. Nothing was copied"
    ):
        rehearse(database_url, modules, free_bytes=1_000_000)


@newest
def test_who_may_make_no_databases_is_told_what_to_do(
    database_url: str, module: Throwaway, modules: list[ModuleMigrations]
) -> None:
    module.revision("add_phone_people", "op.add_column('people', sa.Column('phone', sa.Text))")
    login, password = f"{make_url(database_url).database}_reader", secrets.token_hex(8)
    with connection(database_url) as admin:
        admin.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE pg_read_all_data").format(
                sql.Identifier(login), sql.Literal(password)
            )
        )
    url = make_url(database_url).set(username=login, password=password).render_as_string(hide_password=False)
    with pytest.raises(MigrationFailed, match=f"{login} may make no databases: ALTER ROLE {login} CREATEDB"):
        rehearse(url, modules)


@newest
def test_two_do_not_rehearse_at_once(
    database_url: str, module: Throwaway, modules: list[ModuleMigrations]
) -> None:
    module.revision("add_phone_people", "op.add_column('people', sa.Column('phone', sa.Text))")
    refused: list[str] = []

    def meanwhile(line: str) -> None:
        if "alpha_0002" in line:
            with pytest.raises(MigrationFailed) as told:
                rehearse(database_url, modules)
            refused.append(told.value.message)

    assert rehearse(database_url, modules, progress=meanwhile).ok
    assert ["is rehearsing on a copy" in message for message in refused] == [True]


@newest
def test_copies_of_databases_whose_names_begin_alike_are_not_taken_for_each_others() -> None:
    one, other = (_prefix(f"{'customer_' * 6}{end}") for end in ("north", "south"))
    assert one != other
    assert len(f"{one}0123abcd") <= 63, "PostgreSQL would cut it"


@newest
def test_a_dump_that_complains_at_length_is_read_to_its_end() -> None:
    dump = "import sys; sys.stderr.write('w' * 200_000); sys.stderr.flush(); print('rows')"
    restore = "import sys; sys.exit(sys.stdin.read() != 'rows\\n')"
    python = [sys.executable, "-I", "-c"]
    done, complaint = _piped([*python, dump], [*python, restore], {})
    assert (done, len(complaint)) == (True, 200_000)


@newest
def test_what_interrupts_a_rehearsal_does_not_keep_the_copy(
    database_url: str, module: Throwaway, modules: list[ModuleMigrations]
) -> None:
    module.revision("add_phone_people", "op.add_column('people', sa.Column('phone', sa.Text))")

    def interrupt(line: str) -> None:
        if "alpha_0002" in line:
            assert len(copies(database_url)) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rehearse(database_url, modules, progress=interrupt)
