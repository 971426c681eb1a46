"""
Names, declarations and order of revision files, and what `platform db lint` finds in them.
"""

import re
import time
from pathlib import Path

import pytest
from migration_rig import MakeModule, Throwaway

from platform_core import _migrations
from platform_core._conformance.migrations import dangers
from platform_core._migrations import ModuleMigrations, lint, read_database_sync, read_revisions, squawk
from platform_core._migrations.revisions import name_problems
from platform_core.errors import MigrationFailed


@pytest.mark.parametrize(
    "name",
    [
        "20260818_1943_user_management_add_phone_number_users.py",
        "20260818_1943_2_user_management_add_phone_users.py",
        "20260229_0000_user_management_create_users.py".replace("2026", "2028"),
    ],
)
def test_a_name_says_when_what_and_where(name: str) -> None:
    assert list(name_problems(name, "user_management")) == []


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("add_phone.py", "does not have the shape"),
        ("20260818_user_management_add_phone_users.py", "does not have the shape"),
        ("20260818_1943_user_management_add-phone-users.py", "does not have the shape"),
        ("20260818_1943_User_management_add_phone_users.py", "does not have the shape"),
        ("20261318_1943_user_management_add_phone_users.py", "is no date and time"),
        ("20260818_2543_user_management_add_phone_users.py", "is no date and time"),
        (
            "20260818_1943_notification_add_phone_users.py",
            "the module's name user_management does not follow",
        ),
        ("20260818_1943_user_management_users.py", "an action and a table are needed"),
        ("20260818_1943_user_management_.py", "an action and a table are needed"),
    ],
)
def test_a_wrong_name_is_refused_with_what_is_wrong(name: str, problem: str) -> None:
    assert [found for found in name_problems(name, "user_management") if problem in found]


def test_every_installed_module_has_right_names_and_nothing_dangerous() -> None:
    for module in _migrations.installed_migrations().modules:
        assert read_revisions(module) is not None
        assert [str(finding) for finding in lint.findings(module)] == []


def test_every_wrong_file_is_named_at_once_before_anything_runs(
    newest_database_url: str, kernel: ModuleMigrations, make_module: MakeModule
) -> None:
    module = make_module("alpha").things()
    module.revision("add_phone_things").rename(module.directory / "add_phone.py")
    _edit(module.revision("add_fax_things"), "phase = 'expand'", "phase = 'both'")
    _edit(module.revision("add_mail_things"), "revision = 'alpha_0004'", f"revision = '{'x' * 33}'")
    _edit(module.revision("add_more_things"), "down_revision = 'alpha_0004'", "down_revision = ('a', 'b')")
    report = _migrations.upgrade(newest_database_url, [kernel, module.migrations])
    told = report.failed["alpha"]
    assert report.modules[1].applied == ()
    for part in (
        "add_phone.py: the name does not have the shape {YYYYMMDD_HHMM}_alpha_{action}_{table}.py",
        '20260101_0003_alpha_add_fax_things.py: `phase` is missing: phase = "expand" or phase = "contract"',
        "20260101_0004_alpha_add_mail_things.py: `revision` is not a text of 1 to 32 characters",
        "20260101_0005_alpha_add_more_things.py: `down_revision` is neither None nor the name of one revision",
    ):
        assert part in told
    state = read_database_sync(newest_database_url, [kernel, module.migrations])
    assert "its revision files are wrong" in str(state.modules["alpha"])
    assert [module.name for module in state.not_ready] == ["alpha"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            ("down_revision = 'alpha_0002'", "down_revision = 'alpha_0001'"),
            "both follow alpha_0001: let one follow the other",
        ),
        (
            ("down_revision = 'alpha_0002'", "down_revision = 'alpha_0009'"),
            "follows alpha_0009, which leads to no first revision",
        ),
        (("revision = 'alpha_0003'", "revision = 'alpha_0002'"), "alpha_0002 exists more than once"),
        (("down_revision = 'alpha_0002'", "down_revision = 'alpha_0003'"), "leads to no first revision"),
    ],
)
def test_revisions_that_form_no_single_line_are_refused(
    make_module: MakeModule, change: tuple[str, str], problem: str
) -> None:
    module = make_module("alpha").things()
    module.revision("add_phone_things")
    _edit(module.revision("add_fax_things"), *change)
    with pytest.raises(MigrationFailed, match=re.escape(problem)):
        read_revisions(module.migrations)


def test_a_file_that_is_no_python_is_named(make_module: MakeModule) -> None:
    module = make_module("alpha")
    module.revision("create_things").write_text("def (")
    with pytest.raises(MigrationFailed, match=r"20260101_0001_alpha_create_things\.py: invalid syntax"):
        read_revisions(module.migrations)


def test_reading_again_is_quick_and_sees_changes(make_module: MakeModule) -> None:
    module = make_module("alpha").things()
    for number in range(40):
        module.revision(f"add_{number}_things")
    assert len(read_revisions(module.migrations)) == 41
    began = time.thread_time()
    for _ in range(10):
        read_revisions(module.migrations)
    assert (time.thread_time() - began) / 10 < 0.02
    module.revision("add_last_things")
    assert len(read_revisions(module.migrations)) == 42


# ── lint ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def rules(module: Throwaway) -> list[str]:
    return [finding.rule for finding in lint.findings(module.migrations)]


NEW = "op.create_table('things', sa.Column('id', sa.Uuid))"


@pytest.mark.parametrize(("line", "rule"), [
    ("op.create_index('ix', 'things', ['id'])", "index-lock"),
    ("op.drop_index('ix', 'things')", "index-lock"),
    ("op.execute('CREATE UNIQUE INDEX ix ON things (id)')", "index-lock"),
    ("op.execute(sa.text('DROP INDEX ix'))", "index-lock"),
    ("op.add_column('things', sa.Column('name', sa.Text, nullable=False))", "not-null"),
    ("op.add_column('things', sa.Column('name', sa.Text, nullable=False, server_default=None))", "not-null"),
    ("op.alter_column('things', 'name', type_=sa.Text())", "type-change"),
    ("op.execute('ALTER TABLE things ALTER COLUMN name TYPE text')", "type-change"),
    ("op.execute('ALTER TABLE things ALTER name SET DATA TYPE text')", "type-change"),
    ("op.alter_column('things', 'name', nullable=False)", "constraint-scan"),
    ("op.execute('ALTER TABLE things ALTER COLUMN name SET NOT NULL')", "constraint-scan"),
    ("op.create_unique_constraint('uq', 'things', ['name'])", "constraint-scan"),
    ("op.create_check_constraint('ck', 'things', 'name IS NOT NULL')", "constraint-scan"),
    ("op.create_foreign_key('fk', 'things', 'others', ['a'], ['id'])", "constraint-scan"),
    ("op.drop_table('things')", "drop-in-expand"),
    ("op.drop_column('things', 'name')", "drop-in-expand"),
    ("op.rename_table('things', 'others')", "drop-in-expand"),
    ("op.alter_column('things', 'name', new_column_name='title')", "drop-in-expand"),
    ("op.execute('ALTER TABLE things DROP COLUMN name')", "drop-in-expand"),
    ("op.execute('ALTER TABLE things RENAME TO others')", "drop-in-expand"),
    ("op.create_table('x', sa.Column('a', sa.Uuid, sa.ForeignKey('people.things.id')))", "foreign-schema"),
    (
        "op.create_table('x', sa.Column('a', sa.Uuid), sa.ForeignKeyConstraint(['a'], [f'{OTHER}.things.id']))",
        "foreign-schema",
    ),
    ("op.execute('CREATE TABLE x (a uuid REFERENCES people.things (id))')", "foreign-schema"),
    ("op.create_table('x', sa.Column('a', sa.Uuid), schema='people')", "foreign-schema"),
    ("op.execute('CREATE TABLE IF NOT EXISTS people.x (a uuid)')", "foreign-schema"),
])  # fmt: skip
def test_a_dangerous_operation_is_found(make_module: MakeModule, line: str, rule: str) -> None:
    module = make_module("alpha")
    path = module.revision("change_things", line)
    path.write_text("OTHER = 'people'\n" + path.read_text())
    (finding,) = lint.findings(module.migrations)
    assert finding.rule == rule
    assert finding.line == path.read_text().splitlines().index(f"    {line}") + 1


@pytest.mark.parametrize("body", [
    f"{NEW}\nop.create_index('ix', 'things', ['id'])\nop.add_column('things', sa.Column('n', sa.Text, nullable=False))",
    f"{NEW}\nop.create_unique_constraint('uq', 'things', ['id'])\nop.alter_column('things', 'id', type_=sa.Text())",
    "op.add_column('things', sa.Column('name', sa.Text))",
    "op.add_column('things', sa.Column('name', sa.Text, nullable=False, server_default=''))",
    "op.alter_column('things', 'name', nullable=True)",
    "op.create_table('x', sa.Column('a', sa.Uuid), sa.ForeignKeyConstraint(['a'], ['alpha.things.id']))",
    "safe.create_index_concurrently('ix', 'things', ['id'])",
    "safe.set_not_null('things', 'name')",
    "op.execute('UPDATE things SET a = 1')",
])  # fmt: skip
def test_what_stops_nobody_is_not_found(make_module: MakeModule, body: str) -> None:
    module = make_module("alpha")
    module.revision("change_things", body)
    assert rules(module) == []


@pytest.mark.parametrize(("body", "rule"), [
    (
        "op.add_column('things', sa.Column('n', sa.BigInteger, sa.Identity(), nullable=False))",
        "adding-field-with-default",
    ),
    (
        "for c in 'ab':\n    op.execute(f'ALTER TABLE things ADD {c} uuid DEFAULT gen_random_uuid()')",
        "adding-field-with-default",
    ),
    ("op.execute('CREATE ' + 'INDEX ix ON things (id)')", "require-concurrent-index-creation"),
    (
        "op.execute('CREATE INDEX CONCURRENTLY ix ON things (id)')",
        "ban-concurrent-index-creation-in-transaction",
    ),
    ("op.execute('TRUNCATE things CASCADE')", "ban-truncate-cascade"),
    ("op.execute('SELEC 1')", "syntax-error"),
    ("op.get_bind().execute(sa.text('SELECT 1')).scalar()", "not-offline"),
])  # fmt: skip
def test_squawk_sees_the_sql_that_is_written_and_the_line_that_wrote_it(
    make_module: MakeModule, body: str, rule: str
) -> None:
    module = make_module("alpha")
    path = module.revision("change_things", f"op.execute('SELECT 1')\n{body}")
    (finding,) = lint.findings(module.migrations)
    assert finding.rule == rule
    assert finding.why
    assert finding.instead
    line = body.splitlines()[-1]
    written = path.read_text()
    assert written.splitlines()[finding.line - 1].strip() == line.strip()
    path.write_text(written.replace(line, f"{line}  # lint: {rule} nobody uses it yet"))
    assert rules(module) == []


def test_what_squawk_means_as_well_is_said_once_and_waived_once(make_module: MakeModule) -> None:
    module = make_module("alpha")
    module.revision("index_things", "op.execute('CREATE INDEX ix ON things (id)')")
    module.revision("drop_things", "op.execute('DROP ' + 'TABLE things')", phase="contract")
    assert rules(module) == ["index-lock"]
    other = make_module("beta")
    other.revision(
        "index_things", "op.execute('CREATE ' + 'INDEX ix ON things (id)')  # lint: index-lock it is small"
    )
    assert rules(other) == []


def test_without_squawk_the_platforms_own_rules_are_checked_all_the_same(
    make_module: MakeModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(squawk, "_program", lambda: None)
    module = make_module("alpha")
    module.revision("index_things", "op.execute('CREATE INDEX ix ON things (id)')\nop.execute('SELEC 1')")
    assert not squawk.is_installed()
    assert rules(module) == ["index-lock"]
    said, found = dangers(module.migrations)
    assert (said.problem.endswith(squawk.ABSENT), said.blocks) == (True, False)
    assert found.problem.startswith("index-lock: ")


def test_removing_is_right_in_a_contract_revision(make_module: MakeModule) -> None:
    module = make_module("alpha")
    module.revision(
        "drop_things", "op.drop_table('things')\nop.execute('DROP TABLE others')", phase="contract"
    )
    assert rules(module) == []


def test_what_a_downgrade_does_is_its_own_business(make_module: MakeModule) -> None:
    module = make_module("alpha")
    module.revision("add_things", "pass", "op.drop_table('things')")
    assert rules(module) == []


def test_a_helper_beside_another_operation_is_found(make_module: MakeModule) -> None:
    module = make_module("alpha")
    module.revision(
        "add_things",
        "op.add_column('things', sa.Column('n', sa.Text))\nsafe.backfill('things', 'n = 1', where='')",
    )
    assert rules(module) == ["mixed"]


def test_functions_that_upgrade_calls_count_too(make_module: MakeModule) -> None:
    module = make_module("alpha")
    path = module.revision("change_things", "_change()")
    path.write_text(path.read_text() + "\n\ndef _change() -> None:\n    op.drop_table('things')\n")
    assert rules(module) == ["drop-in-expand"]


def test_a_waiver_names_the_rule_and_a_reason(make_module: MakeModule) -> None:
    module = make_module("alpha")
    line = "op.drop_table('things')"
    module.revision("drop_a_things", f"{line}  # lint: drop-in-expand nobody ever used it")
    module.revision("drop_b_things", f"{line}  # lint: drop-in-expand")
    module.revision("drop_c_things", f"{line}  # lint: type-change it is empty")
    assert [finding.file.rpartition("_")[0][-1] for finding in lint.findings(module.migrations)] == ["b", "c"]


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
