"""
What a revision must not do to tables in use: found in its source, and by squawk in the SQL that it writes.

The rules of this file know the platform's phases, helpers and schemas. What they say, squawk does not say again; it
sees SQL that is put together at run time, and knows a hundred things more. A finding that is right in its place is
waived on its line with the rule and a reason: `# lint: type-change the table is empty until 2.0`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from platform_core._migrations import squawk
from platform_core._migrations.revisions import ModuleMigrations, Revision, read_revisions

HELPERS: Final = frozenset(
    {"create_index_concurrently", "drop_index_concurrently", "backfill", "set_not_null", "add_foreign_key"}
)

_ADVICE: Final = {
    "index-lock": (
        "it stops every write to the table while it is built",
        "use create_index_concurrently or drop_…",
    ),
    "constraint-scan": ("it reads the whole table under a lock that stops everybody", "{instead}"),
    "not-null": (
        "rows that are there have no value",
        "add it nullable, `backfill`, then `set_not_null`, three revisions",
    ),
    "type-change": (
        "it may write the whole table anew, and old code expects the old type",
        "add a second column",
    ),
    "drop-in-expand": (
        "code of the release before still uses it",
        'a revision of its own with phase = "contract"',
    ),
    "foreign-schema": (
        "another module's table",
        "declare a link in plugin.toml, the kernel puts it in place",
    ),
    "mixed": (
        "it commits in between, so what stands beside it is in the way when this is run again",
        "a revision of its own",
    ),
}
"""Rule → why, and what to do instead."""

_SQL: Final = (
    (re.compile(r"\bCREATE\s+(UNIQUE\s+)?INDEX\s+(?!CONCURRENTLY)", re.I), "index-lock", ""),
    (re.compile(r"\bDROP\s+INDEX\s+(?!CONCURRENTLY)", re.I), "index-lock", ""),
    (re.compile(r"\bDROP\s+(TABLE|COLUMN)\b", re.I), "drop-in-expand", ""),
    (re.compile(r"\bRENAME\s+(TO|COLUMN)\b", re.I), "drop-in-expand", ""),
    (re.compile(r"\bALTER\s+(COLUMN\s+)?\S+\s+(SET\s+DATA\s+)?TYPE\b", re.I), "type-change", ""),
    (re.compile(r"\bSET\s+NOT\s+NULL\b", re.I), "constraint-scan", "set_not_null"),
)


_OWNER: Final = re.compile(
    r"\b(?:CREATE|ALTER|DROP|TRUNCATE)\s+TABLE\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?\"?(\w+)\"?\s*\.", re.I
)
"""The schema in which a statement makes or changes a table."""


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One place in one revision.

    Attributes:
        why: what it does to a database in use.
        instead: what to do.
    """

    module: str
    file: str
    line: int
    rule: str
    why: str
    instead: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.why}: {self.instead}"


def findings(module: ModuleMigrations) -> Sequence[Finding]:
    """
    Return what is dangerous in a module's revisions, in order; squawk is asked where it is installed.

    Raises:
        MigrationFailed: files have wrong names or form no single line, or squawk cannot be run.
    """
    revisions = read_revisions(module)
    squawked = squawk.remarks(module, revisions) if squawk.is_installed() else {}
    return [
        finding
        for revision in revisions
        for finding in _in_file(module, revision, squawked.get(revision.id, ()))
    ]


def _in_file(
    module: ModuleMigrations, revision: Revision, squawked: Sequence[squawk.Remark]
) -> Iterator[Finding]:
    source = revision.path.read_text(encoding="utf-8")
    lines, file = source.splitlines(), str(_short(revision.path))
    said: set[tuple[int, str]] = set()
    for line, rule, instead in sorted(
        _Check(ast.parse(source), module.schemas, revision.phase == "expand").run()
    ):
        said.add((line, rule))
        if not _is_waived(lines[line - 1], rule):
            why, advice = _ADVICE[rule]
            yield Finding(module.name, file, line, rule, why, advice.format(instead=instead))
    for remark in squawked:
        ours = squawk.OURS.get(remark.rule, "")
        if (remark.line, ours) in said or (ours == "drop-in-expand" and revision.phase == "contract"):
            continue
        if not any(_is_waived(lines[remark.line - 1], rule) for rule in (remark.rule, ours) if rule):
            yield Finding(module.name, file, remark.line, remark.rule, remark.why, remark.instead)


def _is_waived(line: str, rule: str) -> bool:
    return re.search(rf"#\s*lint:\s*{rule}\s+\w+", line) is not None


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


_Place = tuple[int, str, str]


class _Check:
    """One file: only what `upgrade` does, and what it calls within the file, counts."""

    def __init__(self, tree: ast.Module, schemas: Sequence[str], is_expand: bool) -> None:
        self._schemas, self._is_expand = schemas, is_expand
        self._constants = dict(_texts(tree))
        self._calls = list(_calls_of(tree, "upgrade"))
        self._new_tables = {
            table for call in self._calls if _name(call) == "create_table" and (table := self._text(call, 0))
        }

    def run(self) -> Iterator[_Place]:
        helpers = [call for call in self._calls if _name(call) in HELPERS]
        for call in self._calls:
            if helpers and _is_op(call):
                yield call.lineno, "mixed", ""
            if _is_op(call):
                yield from self._operation(call)
                yield from self._elsewhere(call)
            yield from self._references(call)

    def _operation(self, call: ast.Call) -> Iterator[_Place]:
        name = _name(call)
        if name == "execute":
            yield from self._sql(call)
        elif name == "add_column":
            yield from self._add_column(call)
        elif name in ("drop_table", "drop_column", "rename_table"):
            yield from self._dropped(call)
        elif name == "alter_column":
            yield from self._alter_column(call)
        else:
            yield from self._index_or_constraint(call, name)

    def _elsewhere(self, call: ast.Call) -> Iterator[_Place]:
        """What is made or changed in another module's schema, which the migrator's rights would allow."""
        schema = self._resolved(next((k.value for k in call.keywords if k.arg == "schema"), None))
        statement = (self._text(call, 0) or "") if _name(call) == "execute" else ""
        named = [schema] if schema is not None else _OWNER.findall(statement)
        if any(name not in self._schemas for name in named):
            yield call.lineno, "foreign-schema", ""

    def _index_or_constraint(self, call: ast.Call, name: str) -> Iterator[_Place]:
        table = self._text(call, 1, "source_table") or self._text(call, 9, "table_name") or ""
        if name == "drop_index" and not _is_true(call, "postgresql_concurrently"):
            yield call.lineno, "index-lock", ""
        if table in self._new_tables:
            return
        if name == "create_index" and not _is_true(call, "postgresql_concurrently"):
            yield call.lineno, "index-lock", ""
        if name in ("create_unique_constraint", "create_primary_key"):
            instead = (
                "create_index_concurrently(…, unique=True), whose name a constraint violation carries as well"
            )
            yield call.lineno, "constraint-scan", instead
        if name == "create_foreign_key" and not _is_true(call, "postgresql_not_valid"):
            yield call.lineno, "constraint-scan", "add_foreign_key"
        if name == "create_check_constraint" and not _is_true(call, "postgresql_not_valid"):
            yield (
                call.lineno,
                "constraint-scan",
                "postgresql_not_valid=True, validated in a revision of its own",
            )

    def _add_column(self, call: ast.Call) -> Iterator[_Place]:
        column = call.args[1] if len(call.args) > 1 else None
        if self._text(call, 0) in self._new_tables or not isinstance(column, ast.Call):
            return
        is_filled = any(k.arg in ("server_default", "default") for k in column.keywords) and not _is_none(
            column, "server_default"
        )
        is_filled = is_filled or any(
            _name(part) in ("Identity", "Computed") for part in column.args if isinstance(part, ast.Call)
        )
        if _is_false(column, "nullable") and not is_filled:
            yield call.lineno, "not-null", ""

    def _alter_column(self, call: ast.Call) -> Iterator[_Place]:
        if self._text(call, 0) in self._new_tables:
            return
        given = {keyword.arg for keyword in call.keywords}
        if "type_" in given:
            yield call.lineno, "type-change", ""
        if _is_false(call, "nullable"):
            yield call.lineno, "constraint-scan", "set_not_null"
        if "new_column_name" in given and self._is_expand:
            yield call.lineno, "drop-in-expand", ""

    def _dropped(self, call: ast.Call) -> Iterator[_Place]:
        if self._is_expand and self._text(call, 0) not in self._new_tables:
            yield call.lineno, "drop-in-expand", ""

    def _sql(self, call: ast.Call) -> Iterator[_Place]:
        statement = self._text(call, 0)
        if statement is None:
            return
        for pattern, rule, instead in _SQL:
            if pattern.search(statement) and (rule != "drop-in-expand" or self._is_expand):
                yield call.lineno, rule, instead
        for other in re.findall(r"\bREFERENCES\s+\"?(\w+)\"?\s*\.", statement, re.I):
            if other not in self._schemas:
                yield call.lineno, "foreign-schema", ""

    def _resolved(self, node: ast.expr | None) -> str | None:
        """Return a text that stands in the file: as it is, as a constant, or put together from constants."""
        if isinstance(node, ast.Call) and _name(node) == "text" and node.args:
            return self._resolved(node.args[0])
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.Name):
            return self._constants.get(node.id)
        if isinstance(node, ast.FormattedValue):
            return self._resolved(node.value)
        if isinstance(node, ast.JoinedStr):
            parts = [self._resolved(part) for part in node.values]
            return "".join(part for part in parts if part is not None) if None not in parts else None
        return None

    def _text(self, call: ast.Call, position: int, keyword: str = "") -> str | None:
        if len(call.args) > position:
            return self._resolved(call.args[position])
        return self._resolved(next((k.value for k in call.keywords if k.arg == keyword), None))

    def _references(self, call: ast.Call) -> Iterator[_Place]:
        """Foreign keys that name another module's schema, in whichever way."""
        targets: list[str | None] = []
        if _name(call) == "ForeignKey":
            targets = [self._text(call, 0)]
        elif _name(call) == "ForeignKeyConstraint" and len(call.args) > 1:
            targets = [self._resolved(node) for node in getattr(call.args[1], "elts", ())]
        elif _name(call) == "create_foreign_key" and (schema := self._text(call, 9, "referent_schema")):
            targets = [f"{schema}.table.column"]
        named = [target.partition(".")[0] for target in targets if target and target.count(".") == 2]
        if any(schema not in self._schemas for schema in named):
            yield call.lineno, "foreign-schema", ""


def _calls_of(tree: ast.Module, start: str) -> Iterator[ast.Call]:
    """Yield every call that a function of the file makes, through other functions of the file too."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    todo, seen = [start], set()
    while todo:
        name = todo.pop()
        if name in seen or name not in functions:
            continue
        seen.add(name)
        for node in ast.walk(functions[name]):
            if isinstance(node, ast.Call):
                yield node
                if isinstance(node.func, ast.Name):
                    todo.append(node.func.id)


def _texts(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield from (
                (target.id, node.value.value) for target in node.targets if isinstance(target, ast.Name)
            )


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _is_op(call: ast.Call) -> bool:
    return (
        isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "op"
        and _name(call) not in ("f", "get_context", "get_bind", "inline_literal")
    )


def _value(call: ast.Call, name: str) -> object:
    node = next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
    return node.value if isinstance(node, ast.Constant) else ...


def _is_true(call: ast.Call, name: str) -> bool:
    return _value(call, name) is True


def _is_false(call: ast.Call, name: str) -> bool:
    return _value(call, name) is False


def _is_none(call: ast.Call, name: str) -> bool:
    return _value(call, name) is None
