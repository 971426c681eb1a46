"""
A revision works with the migrator's rights, and on its own schema all the same: whatever else it does is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import sqlalchemy as sa
from migration_rig import MakeModule, Throwaway, connection, rows, snapshot, tables

from platform_core import _migrations
from platform_core._migrations import ModuleMigrations
from platform_core._migrations.boundary import kept_inside
from platform_core._migrations.lock import connect
from platform_core.declarations import Link
from platform_core.errors import MigrationFailed

FUNCTION = "CREATE FUNCTION {} RETURNS int LANGUAGE sql AS 'SELECT 1'"
TRIGGER = "CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"

LEASHES = """
CREATE TABLE pets.leashes (id int PRIMARY KEY, person_id uuid REFERENCES people.things ON DELETE CASCADE);
CREATE TABLE pets.tags (leash_id int REFERENCES pets.leashes);
INSERT INTO pets.leashes SELECT 1, id FROM people.things
"""
"""They go with a person; that no tag is on one is looked at then."""

OTHERS = (
    "TRUNCATE shops.things",
    "CREATE TABLE people.made (id int)",
    "CREATE VIEW shops.made AS SELECT 1",
    "ALTER TABLE people.things ADD COLUMN grown int",
    "DROP INDEX shops.ix_spare",
    "DROP TABLE shops.spare",
    FUNCTION.format("shops.made()"),
)
"""What somebody else may do at the same time."""

OFFENCES = {
    "SELECT * FROM shops.things": "shops.things was read or locked",
    "CREATE VIEW seen AS SELECT id FROM shops.things": "shops.things was read or locked",
    "UPDATE people.things SET version = 2": "people.things was written to",
    "DELETE FROM people.things": "people.things was written to",
    "INSERT INTO platform.seeds SELECT (NULL::platform.seeds).* WHERE false": "platform.seeds was read or locked",
    "DELETE FROM audit.audit_chain": "audit.audit_chain (of platform) was read or locked",
    "ALTER TABLE people.things ADD COLUMN spied int": "people.things was altered",
    "GRANT SELECT ON people.things TO PUBLIC": "people.things was altered",
    f"{TRIGGER}; CREATE TRIGGER spy AFTER INSERT ON people.things EXECUTE FUNCTION spy()": "people.things was altered",
    "DROP TABLE shops.things": "shops.things was dropped",
    FUNCTION.format("shops.spy()"): "shops.spy() was made",
    "CREATE SCHEMA spies": "the schema spies was made",
    "CREATE TABLE public.spied (id int)": "public.spied was made",
    "ALTER TABLE things ADD CONSTRAINT spy FOREIGN KEY (owner_id) REFERENCES people.things": (
        "the foreign key spy to people.things was made"
    ),
}


@pytest.fixture
def neighbours(make_module: MakeModule) -> Sequence[Throwaway]:
    """Pets belong to people by a link, and have nothing to do with shops."""
    owner = Link("things", "owner_id", "people.things.id", "set null")
    return (
        make_module("people").things(),
        make_module("shops").things(),
        make_module("pets", requires=["people"], links=[owner]).things(sa.Column("owner_id", sa.Uuid())),
    )


@pytest.fixture
def house(
    database_url: str, kernel: ModuleMigrations, neighbours: Sequence[Throwaway]
) -> list[ModuleMigrations]:
    """Every module, migrated, each with a row that a link connects."""
    house = [kernel, *(module.migrations for module in neighbours)]
    _migrations.upgrade(database_url, house).raise_for_failures()
    with connection(database_url) as opened:
        for schema, more in (
            ("people", ""),
            ("shops", ""),
            ("pets", ", NULL, (SELECT id FROM people.things)"),
        ):
            opened.execute(
                f"INSERT INTO {schema}.things SELECT platform.uuid7(), 1, now(), now(){more}".encode()
            )
    return house


def test_whatever_is_done_outside_of_a_modules_schema_is_found(
    database_url: str, house: list[ModuleMigrations]
) -> None:
    engine = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: connect(database_url, autocommit=False, search_path="pets")
    )
    for statement, told in OFFENCES.items():
        with engine.connect() as opened, pytest.raises(MigrationFailed) as refused:
            with kept_inside(opened, "pets", ["pets"]):
                opened.exec_driver_sql(statement)
        assert refused.value.message.startswith(f"It reaches outside of pets: {told}"), statement
    engine.dispose()


def test_what_somebody_else_does_meanwhile_is_not_blamed_on_the_revision(
    database_url: str, house: list[ModuleMigrations]
) -> None:
    engine = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: connect(database_url, autocommit=False, search_path="pets")
    )
    with connection(database_url) as other:
        other.execute("CREATE INDEX ix_spare ON shops.things (version)")
        other.execute("CREATE TABLE shops.spare (id int)")
        other.execute(LEASHES)
        with engine.connect() as opened:
            with kept_inside(opened, "pets", ["pets"]):
                opened.exec_driver_sql("ALTER TABLE things ADD COLUMN own int")
                for statement in OTHERS:
                    other.execute(statement.encode())
            with pytest.raises(MigrationFailed, match=r"people\.things was altered\."):
                with kept_inside(opened, "pets", ["pets"]), opened.begin_nested():
                    opened.exec_driver_sql("ALTER TABLE people.things ADD COLUMN spied int")
        with (
            engine.connect() as opened,
            pytest.raises(MigrationFailed, match=r"pets\.leashes was written to\."),
        ):
            with kept_inside(opened, "people", ["people"]):
                opened.exec_driver_sql("DELETE FROM pets.leashes")
    engine.dispose()


def test_what_comes_before_and_after_a_commit_in_between_is_found(
    database_url: str, house: list[ModuleMigrations], neighbours: Sequence[Throwaway]
) -> None:
    pets = neighbours[2]
    index = "safe.create_index_concurrently('ix_things_version', 'things', ['version'])"
    pets.revision("index_things", index)
    pets.revision("widen_things", "op.execute('ALTER TABLE things ADD COLUMN own int')")
    _migrations.upgrade(database_url, house).raise_for_failures()
    harm = "op.execute('ALTER TABLE people.things ADD COLUMN spied int')"
    pets.revision("make_kept", "op.execute('CREATE TABLE kept (id int)')")
    path = pets.revision("harm_things", f"{harm}\n{index}")
    failed = _migrations.upgrade(database_url, house).failed["pets"]
    assert failed.startswith(f"revision pets_0005 ({path.name}) failed: ")
    assert "people.things was altered. " in failed
    assert "What its transaction had done is rolled back" in failed
    assert "pets.kept" not in tables(database_url, "pets")
    # of another length, because bytecode of the same second and length would count as this file's
    path.write_text(path.read_text().replace(f"{harm}\n    {index}", f"{index}\n\n    {harm}"))
    failed = _migrations.upgrade(database_url, house).failed["pets"]
    assert "people.things was altered. " in failed
    assert "since it last committed is rolled back, what it did before stays" in failed
    assert "pets.kept" in tables(database_url, "pets")
    assert rows(database_url, "SELECT FROM pg_attribute WHERE attname = 'spied'") == []


def test_a_revision_that_reaches_outside_is_named_and_undone(
    newest_database_url: str, kernel: ModuleMigrations, neighbours: Sequence[Throwaway]
) -> None:
    people, _, pets = neighbours
    house = [kernel, people.migrations, pets.migrations]
    _migrations.upgrade(newest_database_url, house).raise_for_failures()
    before = snapshot(newest_database_url)
    path = pets.revision(
        "do_harm", "op.execute('CREATE TABLE spied (id int)')\nop.execute('DROP TABLE people.things CASCADE')"
    )
    failed = _migrations.upgrade(newest_database_url, house).failed["pets"]
    assert failed.startswith(
        f"revision pets_0002 ({path.name}) failed: It reaches outside of pets: people.things was dropped."
    )
    assert "What its transaction had done is rolled back" in failed
    assert snapshot(newest_database_url) == before


def test_what_links_bring_about_is_no_reaching_outside(
    database_url: str, house: list[ModuleMigrations], neighbours: Sequence[Throwaway]
) -> None:
    people, _, pets = neighbours
    pets.revision("fill_owners", "op.execute('UPDATE things SET owner_id = owner_id, version = 2')")
    pets.revision(
        "note_owners",
        "op.execute('INSERT INTO things SELECT platform.uuid7(), 1, now(), now(), NULL, owner_id FROM things')",
    )
    _migrations.upgrade(database_url, house).raise_for_failures()
    with connection(database_url) as opened:
        opened.execute(LEASHES)
    people.revision("end_people", "op.execute('DELETE FROM things')")
    _migrations.upgrade(database_url, house).raise_for_failures()
    assert rows(database_url, "SELECT * FROM pets.leashes") == []
    assert rows(database_url, "SELECT owner_id FROM pets.things") == [(None,), (None,)]
    with connection(database_url) as opened:
        opened.execute("DROP TABLE pets.tags, pets.leashes")
    pets.revision("drop_things", "op.drop_table('things', schema='pets')", phase="contract")
    _migrations.upgrade(database_url, house)
    assert tables(database_url, "pets", "people") == {"people.things"}
