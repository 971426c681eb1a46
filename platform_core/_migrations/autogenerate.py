"""
Models against tables: what differs, and a new revision file that says it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from alembic.autogenerate import RevisionContext, compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import ops
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from platform_core._migrations.lock import connect
from platform_core._migrations.revisions import (
    LONGEST_REVISION_COUNT,
    ModuleMigrations,
    Phase,
    alembic_directory,
    name_problems,
    read_revisions,
)
from platform_core._migrations.steps import VERSION_TABLE
from platform_core.errors import MigrationFailed, OperationError

_REMOVING: Final = (ops.DropTableOp, ops.DropColumnOp, ops.DropConstraintOp, ops.DropIndexOp)


def differences(database_url: str, module: ModuleMigrations) -> Sequence[str]:
    """Return what differs between a module's models and its tables, a line each; links do not count."""
    with _connection(database_url) as connection:
        context = _context(connection, module)
        # Alembic finds the differences in no fixed order
        return sorted(_described(difference) for difference in compare_metadata(context, _metadata(module)))


def write_revision(
    database_url: str | None, module: ModuleMigrations, message: str, *, phase: Phase | None = None
) -> str:
    """
    Write a new revision file and return its path.

    Args:
        database_url: compare the models with this database, which is up to date, and fill the file in; None
            leaves its functions empty.
        message: what it does to which table: `add phone users`. The table is added where it is found out.
        phase: `expand` unless given, or `contract` where something is removed.

    Raises:
        OperationError: the message makes no name.
        MigrationFailed: the database is not up to date.
    """
    config = Config()
    # the same folder for every module: the template is there
    config.set_main_option("script_location", str(alembic_directory()).replace("%", "%%"))
    revision = _Revision(config, module, message, phase)
    if database_url is None:
        return revision.write_empty()
    with _connection(database_url) as connection:
        return revision.write_from(connection)


class _Revision:
    """One revision file in the making."""

    def __init__(self, config: Config, module: ModuleMigrations, message: str, phase: Phase | None) -> None:
        self._config, self._module, self._message, self._phase = config, module, message, phase
        self._known = read_revisions(module)

    def write_empty(self) -> str:
        self._check(self._message)
        return self._write(self._context_of(self._message, ""), self._phase or "expand")

    def write_from(self, connection: Connection) -> str:
        migration = _context(connection, self._module)
        if migration.get_current_revision() != (self._known[-1].id if self._known else None):
            raise MigrationFailed(
                f"{self._module.name}: the database is not at the newest revision, so a comparison with the models"
                " would find what is already written. Run `platform db upgrade` first."
            )
        draft = self._context_of(self._message, "compared")
        draft.run_autogenerate(migration.get_current_heads(), migration)
        upgrade_ops = draft.generated_revisions[-1].upgrade_ops
        assert upgrade_ops is not None  # noqa: S101  # autogenerate fills it in
        message = _with_table(self._message, _tables(upgrade_ops))
        self._check(message)
        draft.generated_revisions[-1].message = message
        return self._write(draft, self._phase or _phase_of(upgrade_ops))

    def _context_of(self, message: str, head: str) -> RevisionContext:
        directory = ScriptDirectory(
            str(alembic_directory()),
            file_template=f"%(year)d%(month).2d%(day).2d_%(hour).2d%(minute).2d_{self._module.name}_%(slug)s",
            truncate_slug_length=80,
            version_locations=[str(self._module.directory)],
            timezone="UTC",
            messaging_opts={"quiet": True},
        )
        arguments: dict[str, Any] = {
            "message": message,
            "autogenerate": bool(head),
            "sql": False,
            "head": "head",
            "splice": False,
            "branch_label": None,
            "version_path": str(self._module.directory),
            "rev_id": self._next_id(),
            "depends_on": None,
        }
        self._module.directory.mkdir(parents=True, exist_ok=True)
        return RevisionContext(self._config, directory, arguments)

    def _next_id(self) -> str:
        numbers = [int(match[1]) for r in self._known if (match := re.search(r"_(\d+)$", r.id))]
        number = f"_{max(numbers, default=0) + 1:04d}"
        return self._module.name[: LONGEST_REVISION_COUNT - len(number)] + number

    def _check(self, message: str) -> None:
        slug = "_".join(re.findall(r"\w+", message)).lower()
        problems = list(name_problems(f"20260101_0000_{self._module.name}_{slug}.py", self._module.name))
        if problems:
            raise OperationError(
                f"The message {message!r} makes no file name: {'; '.join(problems)}. Say what is done to which table,"
                " for example: -m 'add phone users'."
            )

    def _write(self, draft: RevisionContext, phase: Phase) -> str:
        arguments: dict[str, Any] = draft.template_args  # Alembic types it after its first value
        arguments["phase"] = phase
        (script,) = draft.generate_scripts()
        assert isinstance(script, Script)  # noqa: S101  # one directive was given
        return script.path


def _connection(database_url: str) -> Any:
    """Connect without any module's schema on the search path: reflection would take it for "no schema"."""
    return create_engine(
        "postgresql+psycopg://",
        creator=lambda: connect(database_url, search_path="pg_catalog", autocommit=False),
        poolclass=NullPool,
    ).connect()


def _context(connection: Connection, module: ModuleMigrations) -> MigrationContext:
    def include_name(name: str | None, kind: str, parents: Any) -> bool:
        return name in module.schemas if kind == "schema" else name != VERSION_TABLE

    def include_object(thing: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
        # a link belongs to neither side, so no model has it
        is_link = (
            kind == "foreign_key_constraint"
            and reflected
            and thing.referred_table.schema not in module.schemas
        )
        return not is_link

    return MigrationContext.configure(
        connection,
        opts={
            "version_table": VERSION_TABLE,
            "version_table_schema": module.name,
            "target_metadata": module.metadata,
            "include_schemas": True,
            "include_name": include_name,
            "include_object": include_object,
            "compare_type": True,
            "compare_server_default": True,
            "upgrade_token": "upgrades",
            "downgrade_token": "downgrades",
            "sqlalchemy_module_prefix": "sa.",
            "alembic_module_prefix": "op.",
            "user_module_prefix": None,
            "render_as_batch": False,
            "process_revision_directives": None,
        },
    )


def _metadata(module: ModuleMigrations) -> Any:
    """Return what Alembic takes as metadata; a sequence works too, though its types do not say so."""
    return module.metadata


def _described(difference: Any) -> str:
    if isinstance(difference, list):  # changes of one column come as a list
        return "; ".join(_described(part) for part in difference)
    kind, *details = difference
    return f"{kind.replace('_', ' ')}: {' '.join(_name(detail) for detail in details if detail is not None)}"


def _name(detail: Any) -> str:
    return str(getattr(detail, "fullname", None) or getattr(detail, "name", None) or detail)


def _tables(operations: ops.OpContainer) -> list[str]:
    touching = ops.ModifyTableOps | ops.CreateTableOp | ops.DropTableOp | ops.CreateIndexOp
    return [str(operation.table_name) for operation in operations.ops if isinstance(operation, touching)]


def _with_table(message: str, tables: Sequence[str]) -> str:
    said = "_".join(re.findall(r"\w+", message)).lower()
    if not tables or any(said.endswith(f"_{table}") for table in tables):
        return message
    return f"{message} {tables[0]}"


def _phase_of(operations: ops.OpContainer) -> Phase:
    for operation in operations.ops:
        nested = isinstance(operation, ops.OpContainer) and _phase_of(operation) == "contract"
        forbids = isinstance(operation, ops.AlterColumnOp) and operation.modify_nullable is False
        if nested or forbids or isinstance(operation, _REMOVING):
            return "contract"
    return "expand"
