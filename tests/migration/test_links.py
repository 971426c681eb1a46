"""
Foreign keys across modules: put in place when both sides are there, taken away before one leaves.
"""

import psycopg
import pytest
import sqlalchemy as sa
from migration_rig import MakeModule, Throwaway, connection, rows

from platform_core import _migrations
from platform_core._migrations import ModuleMigrations, autogenerate
from platform_core._migrations.links import constraint_name
from platform_core.declarations import Link

LINK = Link("things", "owner_id", "people.things.id", "set null")
CONSTRAINT = "fk_things_owner_id_things"


@pytest.fixture
def people(make_module: MakeModule) -> Throwaway:
    return make_module("people").things()


@pytest.fixture
def pets(make_module: MakeModule) -> Throwaway:
    return make_module("pets", links=[LINK]).things(sa.Column("owner_id", sa.Uuid))


def in_place(url: str) -> list[tuple[object, ...]]:
    return rows(
        url,
        "SELECT conname, conrelid::regclass::text, confrelid::regclass::text, confdeltype, convalidated"
        " FROM pg_constraint"
        " WHERE contype = 'f' AND connamespace = 'pets'::regnamespace",
    )


def test_a_link_is_put_in_place_when_both_sides_are_there_and_does_what_it_says(
    database_url: str, kernel: ModuleMigrations, people: Throwaway, pets: Throwaway
) -> None:
    alone = _migrations.upgrade(database_url, [kernel, pets.migrations])
    assert [(link.state, link.detail) for link in alone.links] == [
        ("waiting", "people is not installed and migrated")
    ]
    assert alone.ok
    assert in_place(database_url) == []

    both = [kernel, people.migrations, pets.migrations]
    report = _migrations.upgrade(database_url, both)
    assert [(link.link, link.state) for link in report.links] == [
        ("pets.things.owner_id → people.things.id", "added")
    ]
    assert in_place(database_url) == [(CONSTRAINT, "pets.things", "people.things", "n", True)]
    assert [link.state for link in _migrations.upgrade(database_url, both).links] == ["present"]
    # neither side's models know of it, and neither finds that strange
    assert [autogenerate.differences(database_url, module) for module in both] == [[], [], []]

    with connection(database_url) as opened:
        opened.execute(
            "INSERT INTO people.things VALUES ('0190a5d0-0000-7000-8000-000000000001', 1, now(), now())"
        )
        opened.execute(
            "INSERT INTO pets.things"
            " VALUES (platform.uuid7(), 1, now(), now(), NULL, '0190a5d0-0000-7000-8000-000000000001')"
        )
        with pytest.raises(psycopg.errors.ForeignKeyViolation) as refused:
            opened.execute(
                "INSERT INTO pets.things VALUES (platform.uuid7(), 1, now(), now(), NULL, platform.uuid7())"
            )
        assert refused.value.diag.constraint_name == CONSTRAINT
        opened.execute("DELETE FROM people.things")
        assert opened.execute("SELECT owner_id FROM pets.things").fetchall() == [(None,)]


def test_links_go_before_a_side_leaves_and_come_back_with_it(
    database_url: str, kernel: ModuleMigrations, people: Throwaway, pets: Throwaway
) -> None:
    modules = [kernel, people.migrations, pets.migrations]
    _migrations.upgrade(database_url, modules).raise_for_failures()
    down = _migrations.downgrade(database_url, modules, "base", only="people")
    assert down.ok
    assert [link.state for link in down.links] == ["removed"]
    assert in_place(database_url) == []
    assert rows(database_url, "SELECT links FROM platform.modules WHERE name = 'pets'") == [([],)]
    _migrations.upgrade(database_url, modules).raise_for_failures()
    assert len(in_place(database_url)) == 1


def test_links_can_be_removed_alone(
    newest_database_url: str, kernel: ModuleMigrations, people: Throwaway, pets: Throwaway
) -> None:
    modules = [kernel, people.migrations, pets.migrations]
    _migrations.upgrade(newest_database_url, modules).raise_for_failures()
    assert [link.state for link in _migrations.remove_links(newest_database_url, "people")] == ["removed"]
    assert in_place(newest_database_url) == []
    assert _migrations.remove_links(newest_database_url, "people") == []


def test_a_link_that_a_manifest_no_longer_declares_is_removed(
    newest_database_url: str, kernel: ModuleMigrations, people: Throwaway, pets: Throwaway
) -> None:
    _migrations.upgrade(
        newest_database_url, [kernel, people.migrations, pets.migrations]
    ).raise_for_failures()
    pets.links = []
    report = _migrations.upgrade(newest_database_url, [kernel, people.migrations, pets.migrations])
    assert [(link.state, link.detail) for link in report.links] == [
        ("removed", "the manifest no longer declares it")
    ]
    assert in_place(newest_database_url) == []


def test_an_uninstalled_target_keeps_its_link_until_somebody_removes_it(
    newest_database_url: str, kernel: ModuleMigrations, people: Throwaway, pets: Throwaway
) -> None:
    _migrations.upgrade(
        newest_database_url, [kernel, people.migrations, pets.migrations]
    ).raise_for_failures()
    report = _migrations.upgrade(newest_database_url, [kernel, pets.migrations])
    assert report.ok
    assert len(in_place(newest_database_url)) == 1


def test_rows_that_refer_to_nothing_are_told_and_mending_them_is_enough(
    database_url: str, kernel: ModuleMigrations, people: Throwaway, pets: Throwaway
) -> None:
    _migrations.upgrade(database_url, [kernel, pets.migrations]).raise_for_failures()
    with connection(database_url) as opened:
        opened.execute(
            "INSERT INTO pets.things VALUES (platform.uuid7(), 1, now(), now(), NULL, platform.uuid7())"
        )
    modules = [kernel, people.migrations, pets.migrations]
    report = _migrations.upgrade(database_url, modules)
    assert not report.ok
    assert 'violates foreign key constraint "fk_things_owner_id_things"' in report.failed["pets"]
    # new rows are checked already; the old ones have to be mended first
    assert in_place(database_url)[0][4] is False
    assert not _migrations.upgrade(database_url, modules).ok

    with connection(database_url) as opened:
        opened.execute("UPDATE pets.things SET owner_id = NULL")
    assert _migrations.upgrade(database_url, modules).ok
    assert in_place(database_url)[0][4] is True


def test_a_target_that_its_module_does_not_have_is_an_error_of_the_link_alone(
    newest_database_url: str, kernel: ModuleMigrations, people: Throwaway, pets: Throwaway
) -> None:
    pets.links = [Link("things", "owner_id", "people.nobody.id"), LINK]
    report = _migrations.upgrade(newest_database_url, [kernel, people.migrations, pets.migrations])
    assert [link.state for link in report.links] == ["failed", "added"]
    assert report.failed == {
        "pets": 'link pets.things.owner_id → people.nobody.id: relation "people.nobody" does not exist'
    }


def test_a_long_name_ends_in_a_digest() -> None:
    first = constraint_name("pets", Link("t" * 30, "c" * 30, "people.users.id"))
    second = constraint_name("pets", Link("t" * 30, "c" * 30, "people.accounts.id"))
    assert len(first) == len(second) == 63
    assert first != second
