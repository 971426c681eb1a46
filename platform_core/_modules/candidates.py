"""
Modules that are not installed yet, laid over what is: a set can be judged before anything is changed.

Wheels are unpacked and everything else is fetched by the installer of this environment, into a folder that lies before
the installed packages on the path of one child process. Nothing is installed, and nothing stays.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distributions, entry_points, version
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from platform_core import ENTRY_POINT_GROUP
from platform_core.errors import OperationError

_SCHEMES: Final = ("purelib", "platlib")
_FETCH_SECONDS: Final = 300
_QUIETLY: Final = ("--disable-pip-version-check", "--no-input")


@dataclass(frozen=True, slots=True)
class Candidates:
    """
    Modules that are being considered.

    Attributes:
        directory: what belongs on the path before everything else.
        names: of the modules in it, and of the installed ones that were named.
        told: `blog 0.1.0`, what is not installed, for people.
    """

    directory: Path
    names: Sequence[str]
    told: Sequence[str]


@contextlib.contextmanager
def staged(wanted: Sequence[str]) -> Iterator[Candidates]:
    """
    Lay modules over the installed ones for the length of a block.

    Args:
        wanted: wheel files, folders of them, project folders, names of modules, or requirements such as
            `platform-plugin-blog>=2`.

    Raises:
        OperationError: one of them is not there, is broken, or is no module.
    """
    with tempfile.TemporaryDirectory(prefix="platform-modules-") as folder:
        directory, installed = Path(folder), entry_points(group=ENTRY_POINT_GROUP).names
        for text in wanted:
            if text not in installed:
                stage(text, directory)
        offered = list(distributions(path=[folder]))
        names = [e.name for d in offered for e in d.entry_points.select(group=ENTRY_POINT_GROUP)]
        if offered and not names:
            raise OperationError(
                f"{', '.join(wanted)}: there is no module in it, because nothing in it declares an entry point in the"
                f" group {ENTRY_POINT_GROUP}. If it belongs to a module, name the module."
            )
        told = sorted(f"{d.metadata['Name']} {d.version}" for d in offered)
        yield Candidates(directory, sorted({*names, *(text for text in wanted if text in installed)}), told)


def stage(text: str, directory: Path) -> None:
    """
    Lay one module, without what it needs, into a folder.

    Args:
        text: a wheel file, a folder of wheels or of a project, a name, or a requirement.

    Raises:
        OperationError: it is not there, or is broken.
    """
    path = Path(text)
    if path.suffix == ".whl":
        _unpack(path, directory)
    elif path.is_dir() and (path / "pyproject.toml").is_file():
        # what builds it need not be fetched where it is installed
        options = ["--no-build-isolation"] if _can_build(path / "pyproject.toml") else []
        _fetch(str(path.resolve()), text, directory, *options)
    elif path.is_dir():
        for wheel in _wheels(path):
            _unpack(wheel, directory)
    elif re.fullmatch(r"[a-z][a-z0-9_]*", text):
        _fetch(f"platform-plugin-{text.replace('_', '-')}", text, directory)
    else:
        _fetch(text, text, directory)


def _wheels(folder: Path) -> Sequence[Path]:
    found: dict[str, Path] = {}
    for wheel in sorted(folder.glob("*.whl")):
        other = found.setdefault(wheel.name.partition("-")[0], wheel)
        if other != wheel:
            raise OperationError(
                f"{folder} has {other.name} and {wheel.name}; a set has one of them. Name the one that is meant."
            )
    if not found:
        raise OperationError(f"In {folder} is neither a wheel nor a pyproject.toml.")
    return list(found.values())


def _unpack(wheel: Path, directory: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(directory)  # ZipFile drops what would lead out of the folder
    except FileNotFoundError as error:
        raise OperationError(f"There is no file {wheel}.") from error
    except (zipfile.BadZipFile, OSError) as error:
        raise OperationError(f"{wheel} cannot be read: {error}. Is it a wheel, and is it whole?") from error
    for data in directory.glob("*.data"):
        for scheme in _SCHEMES:
            if (data / scheme).is_dir():
                shutil.copytree(data / scheme, directory, dirs_exist_ok=True)
        shutil.rmtree(data)


def _can_build(pyproject: Path) -> bool:
    """Tell whether everything that builds a project is installed here."""
    try:
        system = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("build-system", {})
        wanted = [Requirement(text) for text in system.get("requires", ["setuptools"])]
        return all(Version(version(one.name)) in one.specifier for one in wanted)
    except (tomllib.TOMLDecodeError, InvalidRequirement, InvalidVersion, PackageNotFoundError):
        return False


def _fetch(requirement: str, text: str, directory: Path, *options: str) -> None:
    have_installed(
        ["--no-deps", *options, "--target", str(directory), requirement],
        seconds=_FETCH_SECONDS,
        failure=f"{text} is not installed, and {requirement} could not be fetched",
        hint="Give a wheel file, or a name that the package index knows.",
    )


def have_installed(options: Sequence[str], *, seconds: float, failure: str, hint: str = "") -> None:
    """
    Have this environment's own installer get packages, with its configuration and its index.

    Args:
        options: of `pip install`, the packages among them.
        failure: what could not be done, without a full stop.
        hint: what to do about it, where the installer has refused.

    Raises:
        OperationError: it could not, or not in time.
    """
    try:
        done = subprocess.run(  # noqa: S603  # a list, no shell; who runs this may install packages anyway
            [*installer(), "--quiet", *options],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OperationError(
            f"{failure}: the installer was not through after {seconds:g} s. Is the package index reachable?"
        ) from error
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reason = said[-1] if said else "the installer did not say why"
        raise OperationError(f"{failure}: {reason.rstrip('.')}. {hint}".rstrip())


def installer() -> list[str]:
    """Return the command with which this environment installs packages; raises OperationError where it has none."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", *_QUIETLY, "install"]
    if (uv := shutil.which("uv")) is not None:
        return [uv, "pip", "install", "--python", sys.executable]
    if (
        pip := shutil.which("pip")
    ) is not None:  # of another environment, as images have it that ship without one
        return [pip, "--python", sys.executable, *_QUIETLY, "install"]
    raise OperationError(
        "pip or uv fetches what is not installed, and neither is there. Give wheel files, or: python -m ensurepip"
    )
