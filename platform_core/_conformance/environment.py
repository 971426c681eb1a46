"""
An environment for one module: it sees what is installed here, has the module laid over that, and is thrown away.

Nothing is installed here, and what the module's processes are told is only where the servers are that were started for
them: not the caller's settings, secrets or home directory. That contains mistakes, not malice: it is the same account.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from platform_core import ENTRY_POINT_GROUP
from platform_core._conformance.subject import Subject
from platform_core._environment import environment
from platform_core._modules.candidates import have_installed, stage
from platform_core.errors import OperationError

_KEPT: Final = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "LD_LIBRARY_PATH")
_FOR_TESTS: Final = ("testing", "tests", "test")
"""Extras by which projects name what only their tests need."""

_NOT_COPIED: Final = shutil.ignore_patterns(
    ".git", ".venv", "venv", ".nox", ".tox", "__pycache__", "*.egg-info", "build", "dist", ".platform"
)
_INSTALL_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Bench:
    """
    Where a module is graded.

    Attributes:
        python: the interpreter that sees it.
        variables: the whole environment of its processes, without the servers.
    """

    subject: Subject
    python: Path
    variables: Mapping[str, str]
    folder: Path


@contextlib.contextmanager
def prepared(path: Path) -> Iterator[Bench]:
    """
    Lay a module over what is installed, for the length of a block.

    Args:
        path: a wheel, or a project's folder.

    Raises:
        OperationError: it cannot be built or read, or is no module.
    """
    if not path.exists():
        raise OperationError(f"There is nothing at {path}. Give a wheel, or the folder of a project.")
    with tempfile.TemporaryDirectory(prefix="platform-conformance-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for part in ("home", "desk", "scratch"):
            (folder / part).mkdir(mode=0o700)
        (folder / "tmp").mkdir()
        # passable for the account that root has servers run as: they keep their data here, and these go with the rest
        for passed in (folder, folder / "tmp"):
            passed.chmod(0o711)
        venv.EnvBuilder(with_pip=False, symlinks=True).create(folder / "environment")
        [packages] = (folder / "environment").glob("lib/python*/site-packages")
        source = _copied(path, folder / "source") if path.is_dir() else None
        stage(str(source or path.resolve()), packages)
        distribution, module = _module(path, packages)
        _complete(distribution, packages, folder)
        _overlay(packages)
        yield Bench(
            _subject(distribution, module, packages, source, folder),
            folder / "environment" / "bin" / "python",
            _variables(folder),
            folder,
        )


def _copied(path: Path, target: Path) -> Path:
    """Copy a project, because builds and tests write into it."""
    if not (path / "pyproject.toml").is_file():
        raise OperationError(f"{path} has no pyproject.toml, so nobody knows how to build it.")
    shutil.copytree(path, target, ignore=_NOT_COPIED)
    return target


def _module(path: Path, packages: Path) -> tuple[Distribution, str]:
    offers = [
        (distribution, entry_point.name)
        for distribution in distributions(path=[str(packages)])
        for entry_point in distribution.entry_points.select(group=ENTRY_POINT_GROUP)
    ]
    if len(offers) != 1:
        there = ", ".join(sorted(name for _, name in offers)) or "none"
        raise OperationError(
            f"{path} should offer one module, by an entry point in the group {ENTRY_POINT_GROUP}; it offers: {there}."
        )
    return offers[0]


def _overlay(packages: Path) -> None:
    """Let the environment see what is installed here, after its own; editable installs, too."""
    paths = sysconfig.get_paths()
    own = dict.fromkeys([paths["purelib"], paths["platlib"]])
    lines = [f"import site; site.addsitedir({path!r})" for path in own]
    (packages / "what_is_installed.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _complete(distribution: Distribution, packages: Path, folder: Path) -> None:
    """Install what it asks for and is not here, at no other version than the ones that are."""
    here = {canonicalize_name(d.metadata["Name"]): d for d in distributions()}
    missing = [
        str(requirement)
        for requirement in _requirements(distribution, _FOR_TESTS)
        if canonicalize_name(requirement.name) not in here
    ]
    if not missing:
        return
    frozen = folder / "constraints.txt"
    frozen.write_text("".join(f"{name}=={found.version}\n" for name, found in sorted(here.items())))
    have_installed(
        ["--target", str(packages), "--constraint", str(frozen), *missing],
        seconds=_INSTALL_SECONDS,
        failure=f"What it needs could not be installed ({', '.join(missing)})",
    )


def _requirements(distribution: Distribution, extras: Sequence[str] = ()) -> Iterator[Requirement]:
    for text in distribution.requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield Requirement(f"{requirement.name}{_extras(requirement)}{requirement.specifier}")


def _extras(requirement: Requirement) -> str:
    return f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""


def _subject(
    distribution: Distribution, module: str, packages: Path, source: Path | None, folder: Path
) -> Subject:
    known = _modules(packages)
    required: set[str] = set()
    todo = [distribution]
    while todo:
        for requirement in _requirements(todo.pop()):
            name, found = known.get(canonicalize_name(requirement.name), ("", None))
            if found is not None and name not in required:
                required.add(name)
                todo.append(found)
    named = {canonicalize_name(Requirement(text).name) for text in distribution.requires or ()}
    optional = {name for key, (name, _) in known.items() if key in named} - required
    others = {name for name, _ in known.values()} - required - {module}
    return Subject(
        name=module,
        version=distribution.version,
        distribution=distribution.metadata["Name"],
        package=packages / module,
        source=source,
        requires=sorted(required),
        optional=sorted(optional),
        beside=sorted(required),
        hidden=sorted(others),
        scratch=folder / "scratch",
    )


def _modules(packages: Path) -> Mapping[str, tuple[str, Distribution]]:
    """Return distribution → the module that it offers, those of the environment before those that lie below."""
    found: dict[str, tuple[str, Distribution]] = {}
    for distribution in distributions(path=[str(packages), *sys.path]):
        for entry_point in distribution.entry_points.select(group=ENTRY_POINT_GROUP):
            found.setdefault(
                canonicalize_name(distribution.metadata["Name"]), (entry_point.name, distribution)
            )
    return found


def _variables(folder: Path) -> Mapping[str, str]:
    kept = {name: value for name, value in environment().items() if name in _KEPT}
    # programs that stand beside this interpreter, as squawk does, are found whether it was activated or not
    path = os.pathsep.join(filter(None, (sysconfig.get_path("scripts"), kept.get("PATH"))))
    # what a killed process leaves goes, too
    own = {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp")}
    return {**kept, **own, "PATH": path, "PYTHONUNBUFFERED": "1"}
