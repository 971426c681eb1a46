"""
What squawk, a linter for PostgreSQL, says about the SQL that revisions write; private to the kernel.

A revision is run as for `platform db upgrade --sql`: no database, every statement written down, and with each the line
of the file that wrote it, so that what is found has a place to be mended or waived. What the helpers of
`platform_core.migrations` write is not asked about: they are what squawk's advice comes to.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from platform_core._migrations.revisions import ModuleMigrations, Revision
from platform_core.errors import MigrationFailed

OLDEST_SUPPORTED: Final = "15.0"

ABSENT: Final = "squawk is not installed: pip install 'platform-core[testing]'"

_HELPERS: Final = "platform_core.migrations"

OURS: Final[Mapping[str, str]] = {
    "require-concurrent-index-creation": "index-lock",
    "require-concurrent-index-deletion": "index-lock",
    "constraint-missing-not-valid": "constraint-scan",
    "disallowed-unique-constraint": "constraint-scan",
    "adding-foreign-key-constraint": "constraint-scan",
    "adding-not-nullable-field": "constraint-scan",
    "adding-required-field": "not-null",
    "changing-column-type": "type-change",
    "ban-drop-column": "drop-in-expand",
    "ban-drop-table": "drop-in-expand",
    "renaming-column": "drop-in-expand",
    "renaming-table": "drop-in-expand",
}
"""Squawk's rule → that of `lint.py` which means the same; a waiver of either counts."""

_LEFT_OUT: Final[Mapping[str, str]] = {
    "require-lock-timeout": "the connection that migrates has one",
    "require-statement-timeout": "a long statement that stops nobody is right, one that waits for a lock is ended",
    "transaction-nesting": "the transaction is the migrator's",
    "ban-uncommitted-transaction": "as above",
    "prefer-robust-stmts": "what a revision had done when it failed is taken back",
    "prefer-bigint-over-int": "keys are UUIDs; versions, counts and ranks are small",
    "prefer-bigint-over-smallint": "as above",
    "ban-drop-not-null": "it is how a column is retired: the next release no longer fills it in",
}
"""Rules that say nothing here, and why."""

_INSTEAD: Final[Mapping[str, str]] = {
    "ban-concurrent-index-creation-in-transaction": (
        "use create_index_concurrently, which commits before, and repairs what an aborted run left behind"
    ),
    "syntax-error": "correct it; if PostgreSQL does understand it, waive this on its line",
}
"""Better advice than squawk's own, which knows nothing of the platform."""

_TABLE: Final = r"(?:IF\s+(?:NOT\s+)?EXISTS\s+)?(?:ONLY\s+)?((?:\"?\w+\"?\.)?\"?\w+\"?)"
_CREATED: Final = re.compile(rf"^\s*CREATE\s+TABLE\s+{_TABLE}", re.I | re.M)
_ALTERED: Final = re.compile(rf"^\s*ALTER\s+TABLE\s+{_TABLE}", re.I)


@dataclass(frozen=True, slots=True)
class Remark:
    """What squawk says of what one line of a revision file writes."""

    line: int
    rule: str
    why: str
    instead: str


def is_installed() -> bool:
    """Tell whether there is a squawk to ask: `pip install platform-core[testing]` brings it along."""
    return _program() is not None


def remarks(module: ModuleMigrations, revisions: Sequence[Revision]) -> Mapping[str, Sequence[Remark]]:
    """
    Return what squawk says, by revision.

    Raises:
        MigrationFailed: squawk itself fails.
    """
    written, found = {}, {}
    for revision in revisions:
        script = _Script(revision)
        try:
            _write(module, revision, script)
        except Exception as error:  # noqa: BLE001  # a revision is a plugin's code and may raise anything
            found[revision.id] = [_unwritable(revision, error)]
        else:
            written[revision.id] = script
    for identity, finding in _ask({identity: script.sql for identity, script in written.items()}):
        script, rule = written[identity], finding["rule_name"]
        line = script.line_of(finding["line"])
        is_about_use = rule in OURS or rule.startswith("adding-")
        if line is None or (is_about_use and script.is_new(finding["line"])):
            continue
        instead = _INSTEAD.get(rule) or _text(finding["help"]) or f"see https://squawkhq.com/docs/{rule}"
        found.setdefault(identity, []).append(Remark(line, rule, _text(finding["message"]), instead))
    return {identity: _once(of) for identity, of in found.items()}


def _once(found: Sequence[Remark]) -> Sequence[Remark]:
    """Return one remark per rule and line: a loop writes many statements, a statement may be wrong in many ways."""
    return list({(remark.line, remark.rule): remark for remark in reversed(found)}.values())[::-1]


class _Script(io.StringIO):
    """
    What a revision writes, and which line of it wrote what.

    Attributes:
        sql: only what the revision's own code wrote, without the version table and the ledger.
    """

    def __init__(self, revision: Revision) -> None:
        super().__init__()
        self._file = revision.path.name
        self._lines: list[int | None] = []
        self.sql = ""

    def write(self, text: str) -> int:
        line, is_helped = self._origin()
        if line is not None:
            self.sql += text
            self._lines += [None if is_helped else line] * text.count("\n")
        return super().write(text)

    def line_of(self, sql_line: int) -> int | None:
        """Return the line that wrote a line of the SQL, which are counted from 0; None when a helper did."""
        return self._lines[min(sql_line, len(self._lines) - 1)]

    def is_new(self, sql_line: int) -> bool:
        """Tell whether a line alters a table that the revision has just made, which nobody uses yet."""
        altered = _ALTERED.match(self.sql.splitlines()[sql_line])
        return altered is not None and altered[1] in _CREATED.findall(self.sql)

    def _origin(self) -> tuple[int | None, bool]:
        frame, is_helped = sys._getframe(1).f_back, False
        while frame is not None:
            if Path(frame.f_code.co_filename).name == self._file:
                return frame.f_lineno, is_helped
            is_helped = is_helped or frame.f_globals.get("__name__") == _HELPERS
            frame = frame.f_back
        return None, False


def _write(module: ModuleMigrations, revision: Revision, script: _Script) -> None:
    from platform_core._migrations.steps import write_sql

    write_sql(module, [revision], revision.down, upgrade=True, script=script)


def _unwritable(revision: Revision, error: Exception) -> Remark:
    line = next(
        (
            frame.lineno
            for frame in reversed(traceback.extract_tb(error.__traceback__))
            if Path(frame.filename).name == revision.path.name and frame.lineno
        ),
        1,
    )
    why = f"`platform db upgrade --sql` cannot write it down ({type(error).__name__}: {_text(str(error))})"
    return Remark(
        line, "not-offline", why, "say it in SQL, or ask `op.get_context().as_sql` before reading rows"
    )


def _ask(scripts: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    program = _program()
    if program is None or not any(scripts.values()):
        return
    with tempfile.TemporaryDirectory(prefix="platform-lint-") as folder:
        for identity, sql in scripts.items():
            # a single statement could be meant for outside of a transaction, where no revision is
            Path(folder, f"{identity}.sql").write_text(f"{sql}\nSELECT 1;\n", encoding="utf-8")
        left_out = f"--exclude={','.join(_LEFT_OUT)}"
        told = subprocess.run(  # noqa: S603  # the program of the installed wheel, on files just written
            [
                program,
                "--reporter=json",
                "--assume-in-transaction",
                f"--pg-version={OLDEST_SUPPORTED}",
                left_out,
            ]
            + [f"{identity}.sql" for identity in scripts],
            cwd=folder,  # no configuration of the place where this was called
            capture_output=True,
            text=True,
            check=False,
        )
    try:
        found = json.loads(told.stdout)
    except ValueError as error:
        raise MigrationFailed(
            f"squawk ended with {told.returncode}: {_text(told.stderr or told.stdout)[:500]}. Try another version of"
            " squawk-cli; without it the platform's own rules are still checked."
        ) from error
    for finding in found:
        yield Path(finding["file"]).stem, finding


def _program() -> str | None:
    beside = Path(sysconfig.get_path("scripts"), "squawk")  # also where the environment is not activated
    return shutil.which(beside) or shutil.which("squawk")


def _text(text: str | None) -> str:
    return " ".join((text or "").split()).rstrip(".")
