"""
Revision files as data: their names, order and phase, read without running them; private to the kernel.

Readiness and `platform db upgrade` ask this first, and only what really migrates imports Alembic.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import platform_core
from platform_core.declarations import Link
from platform_core.errors import MigrationFailed

if TYPE_CHECKING:
    from sqlalchemy import MetaData

Phase = Literal["expand", "contract"]

PHASES: Final[Sequence[Phase]] = ("expand", "contract")

LONGEST_REVISION_COUNT: Final = 32
"""Alembic keeps the current revision in a `varchar(32)`."""

_FILE_NAME = re.compile(r"(?P<time>\d{8}_\d{4})(_\d{1,4})?_(?P<rest>[a-z][a-z0-9_]*)\.py")
_ACTION_AND_TABLE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleMigrations:
    """
    What the runner needs to know of one module; the kernel itself is one, named `platform`.

    Attributes:
        name: the module, and the schema that holds its tables and its version table.
        version: of its distribution, remembered in `platform.modules`.
        directory: holds the revision files.
        metadata: the tables as the code wants them; the kernel has two, one for each of its schemas.
        requires: modules that have to be migrated before this one; the kernel always is.
        links: foreign keys into other modules.
        permissions: names of those that it declares; others may keep them.
    """

    name: str
    version: str
    directory: Path
    metadata: MetaData | Sequence[MetaData]
    requires: Sequence[str] = ()
    links: Sequence[Link] = ()
    permissions: Sequence[str] = ()

    @property
    def metadatas(self) -> Sequence[MetaData]:
        """The metadata as a sequence, also where there is only one."""
        return self.metadata if isinstance(self.metadata, Sequence) else (self.metadata,)

    @property
    def schemas(self) -> Sequence[str]:
        """Every schema of this module, the one of its name first."""
        return tuple(
            dict.fromkeys([self.name, *(metadata.schema or self.name for metadata in self.metadatas)])
        )


@dataclass(frozen=True, slots=True)
class Revision:
    """
    One revision file.

    Attributes:
        id: what the version table holds.
        down: the revision before it; None for the first.
        phase: `expand` works with the code before and after it; `contract` only with the code after it.
        summary: first line of the docstring.
    """

    id: str
    down: str | None
    phase: Phase
    path: Path
    summary: str


def alembic_directory() -> Path:
    """Return where `env.py` and the kernel's own revisions are: in the installed wheel, or in a checkout."""
    package = Path(platform_core.__file__).resolve().parent
    installed = package / "_alembic"
    return installed if installed.is_dir() else package.parent / "alembic"


def read_revisions(module: ModuleMigrations) -> tuple[Revision, ...]:
    """
    Return a module's revisions, oldest first.

    Raises:
        MigrationFailed: a file has a wrong name or misses a declaration, or the files form no single line;
            every problem is in the message.
    """
    paths = sorted(path for path in module.directory.glob("*.py") if path.name != "__init__.py")
    stats = [path.stat() for path in paths]
    return _read_all(module.name, tuple(paths), tuple((stat.st_mtime_ns, stat.st_size) for stat in stats))


@functools.lru_cache(maxsize=256)  # readiness asks every few seconds; the times make a changed file count
def _read_all(module: str, paths: tuple[Path, ...], _changed: object) -> tuple[Revision, ...]:
    problems = [f"{path.name}: {problem}" for path in paths for problem in name_problems(path.name, module)]
    revisions = []
    for path in paths:
        try:
            revisions.append(_read(path))
        except (ValueError, SyntaxError) as error:
            problems.append(f"{path.name}: {error}")
    if not problems:
        ordered, problems = _in_line(revisions)
        if not problems:
            return ordered
    raise MigrationFailed(f"{module}: its revision files are wrong: " + "; ".join(problems))


def name_problems(file_name: str, module: str) -> Iterator[str]:
    """Yield what is wrong with a revision's file name; nothing when it is right."""
    shape = f"{{YYYYMMDD_HHMM}}_{module}_{{action}}_{{table}}.py"
    match = _FILE_NAME.fullmatch(file_name)
    if match is None:
        yield f"the name does not have the shape {shape}"
        return
    try:
        datetime.strptime(match["time"], "%Y%m%d_%H%M")  # noqa: DTZ007  # only whether there is such a minute
    except ValueError:
        yield f"{match['time']} is no date and time"
    prefix, rest = f"{module}_", match["rest"]
    if not rest.startswith(prefix):
        yield f"the module's name {module} does not follow the time"
    elif not _ACTION_AND_TABLE.fullmatch(rest.removeprefix(prefix)):
        yield f"after the module's name an action and a table are needed, as in {shape}"


def _read(path: Path) -> Revision:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    values = dict(_constants(tree))
    identity, down, phase = values.get("revision"), values.get("down_revision", ""), values.get("phase")
    if not isinstance(identity, str) or not identity or len(identity) > LONGEST_REVISION_COUNT:
        raise ValueError(f"`revision` is not a text of 1 to {LONGEST_REVISION_COUNT} characters")
    if not (down is None or (isinstance(down, str) and down)):
        raise ValueError("`down_revision` is neither None nor the name of one revision")
    if phase not in PHASES:
        raise ValueError('`phase` is missing: phase = "expand" or phase = "contract"')
    summary = (ast.get_docstring(tree) or path.stem).strip().partition("\n")[0]
    return Revision(identity, down, cast("Phase", phase), path, summary)


def _constants(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    for node in tree.body:
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        for target in targets:
            value = getattr(node, "value", None)
            if isinstance(target, ast.Name) and isinstance(value, ast.Constant):
                yield target.id, value.value


def _in_line(revisions: Sequence[Revision]) -> tuple[tuple[Revision, ...], list[str]]:
    after: dict[str | None, list[Revision]] = {}
    for revision in revisions:
        after.setdefault(revision.down, []).append(revision)
    problems = [
        f"{' and '.join(r.path.name for r in heads)} both follow {down or 'nothing'}: let one follow the other"
        for down, heads in after.items()
        if len(heads) > 1
    ]
    known = [revision.id for revision in revisions]
    problems += [f"{identity} exists more than once" for identity in {i for i in known if known.count(i) > 1}]
    ordered = _walk({down: heads[0] for down, heads in after.items()})
    if not problems and len(ordered) < len(revisions):
        lost = [r for r in revisions if r not in ordered]
        problems = [f"{r.path.name} follows {r.down}, which leads to no first revision" for r in lost]
    return tuple(ordered), problems


def _walk(after: Mapping[str | None, Revision]) -> list[Revision]:
    ordered: list[Revision] = []
    at: str | None = None
    while (following := after.get(at)) is not None and following not in ordered:
        ordered.append(following)
        at = following.id
    return ordered
