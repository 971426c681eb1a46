"""
Writes a new module from the template of this release, and brings an older one to it.

A template is a folder of files in the wheel, `string.Template`s whose names end in `.tmpl`. What was written is noted
in the new module, by digest: so an update knows what its author has not touched and may replace it, and lays the new
text of everything else beside it. See docs/decisions/0018-a-template-travels-in-the-wheel.md.
"""

from __future__ import annotations

import hashlib
import keyword
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata, util
from pathlib import Path
from string import Template
from typing import Final, Literal

from packaging.version import Version

from platform_core import __version__
from platform_core._manifest import RESERVED_NAMES
from platform_core.errors import OperationError

Kind = Literal["full", "minimal"]

NOTES: Final = ".platform-module.toml"
"""Where a module remembers what it was made from."""

_TEMPLATES: Final = Path(__file__).parent / "templates"
_SUFFIX: Final = ".tmpl"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{1,40}")


@dataclass(frozen=True, slots=True)
class Notes:
    """
    What a module was made from.

    Attributes:
        timestamp: when it was made, as its first revision's file name has it.
        digests: path → SHA-256 of the text that the template gave.
    """

    name: str
    kind: Kind
    timestamp: str
    release: str = __version__
    digests: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, directory: Path) -> Notes:
        """
        Return what a module remembers.

        Raises:
            OperationError: it remembers nothing, or nothing that makes sense.
        """
        try:
            noted = tomllib.loads((directory / NOTES).read_text(encoding="utf-8"))
            return cls(noted["name"], noted["kind"], noted["timestamp"], noted["release"], noted["files"])
        except FileNotFoundError as error:
            raise OperationError(
                f"{directory} has no {NOTES}: it was not made by `platform modules new`, so nobody knows what in it is"
                " its author's."
            ) from error
        except (tomllib.TOMLDecodeError, KeyError) as error:
            raise OperationError(f"{directory / NOTES} cannot be read: {error!r}.") from error

    def write(self, directory: Path) -> None:
        """Keep it."""
        facts = {"name": self.name, "kind": self.kind, "timestamp": self.timestamp, "release": self.release}
        lines = ["# Written by `platform modules new`; `--update` compares with it. Leave it as it is.", ""]
        lines += [f'{key} = "{value}"' for key, value in facts.items()]
        lines += ["", "[files]", *(f'"{path}" = "{digest}"' for path, digest in sorted(self.digests.items()))]
        (directory / NOTES).write_text("\n".join(lines) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Update:
    """
    What an update did.

    Attributes:
        written: files that are new, or were as an older template had made them.
        beside: files that their author has changed: the template's new text lies beside each, named `.new`.
    """

    written: Sequence[str]
    beside: Sequence[str]


def create(name: str, directory: Path, kind: Kind) -> Sequence[str]:
    """
    Write a new module.

    Args:
        directory: made, or empty.

    Returns: the paths that were written.

    Raises:
        OperationError: the name cannot be a module's, or something lies in the directory.
    """
    check_name(name)
    if directory.exists() and any(directory.iterdir()):
        raise OperationError(
            f"{directory} is not empty. Choose another place with --into, or --update what is there."
        )
    notes = Notes(name, kind, f"{datetime.now(UTC):%Y%m%d_%H%M}")
    texts = rendered(notes)
    for path, text in texts.items():
        _write(directory / path, text)
    _noted(notes, texts).write(directory)
    return [*texts, NOTES]


def update(directory: Path) -> Update:
    """
    Bring a module to the template of this release, as far as its author has not changed it.

    A file that its author has deleted stays deleted.

    Raises:
        OperationError: it was not made from a template.
    """
    notes = Notes.read(directory)
    texts = rendered(notes)
    written: list[str] = []
    beside: list[str] = []
    for path, text in texts.items():
        before = notes.digests.get(path)
        if digest(text) == before:
            continue  # the template says what it said
        current = _read(directory / path)
        if current is None and before is not None:
            continue
        if current is None or digest(current) == before:
            _write(directory / path, text)
            written.append(path)
        elif current != text:
            _write(directory / f"{path}.new", text)
            beside.append(path)
    _noted(notes, texts).write(directory)
    return Update(written, beside)


def check_name(name: str) -> None:
    """Raise OperationError unless a module may be called that; the name is package, schema and prefix in one."""
    problem = None
    if not _NAME.fullmatch(name):
        problem = "use 2 to 41 small letters, digits and underscores, beginning with a letter"
    elif name in RESERVED_NAMES:
        problem = "the platform itself is called that, or a schema that every database has"
    elif keyword.iskeyword(name) or name in sys.stdlib_module_names:
        problem = "Python itself uses that name"
    elif (spec := util.find_spec(name)) is not None and spec.origin is not None:
        problem = "an installed package is called that already"
    if problem is not None:
        raise OperationError(f"A module cannot be called {name}: {problem}.")


def rendered(notes: Notes) -> Mapping[str, str]:
    """Return the template's files for one module: path → text."""
    values = _values(notes.name)
    return {
        _path(source, notes): Template(source.read_text(encoding="utf-8")).substitute(values)
        for source in _sources(notes.kind)
    }


def _sources(kind: Kind) -> Iterator[Path]:
    yield from sorted((_TEMPLATES / kind).rglob(f"*{_SUFFIX}"))


def _path(source: Path, notes: Notes) -> str:
    relative = source.relative_to(_TEMPLATES / notes.kind).as_posix().removesuffix(_SUFFIX)
    return relative.replace("__module__", notes.name).replace("__timestamp__", notes.timestamp)


def _values(name: str) -> Mapping[str, str]:
    words = name.strip("_").split("_")
    return {
        "name": name,
        "dashed": name.replace("_", "-"),
        "title": " ".join(words).capitalize(),
        "camel": "".join(word.capitalize() for word in words),
        "variable": name.upper(),
        "compatible": _compatible(__version__),
        "users_compatible": _compatible(_installed("platform-plugin-user-management") or __version__),
    }


def _compatible(version: str) -> str:
    """Return which releases a new module asks for: this one, until one may break it (its minor, before 1.0)."""
    release = Version(version)
    until = f"{release.major + 1}" if release.major else f"0.{release.minor + 1}"
    return f">={release.major}.{release.minor},<{until}"


def _installed(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _noted(notes: Notes, texts: Mapping[str, str]) -> Notes:
    digests = {path: digest(text) for path, text in texts.items()}
    return Notes(notes.name, notes.kind, notes.timestamp, __version__, digests)


def digest(text: str) -> str:
    """Return the SHA-256 of a text, whatever a checkout has made of its line ends."""
    return hashlib.sha256(text.replace("\r\n", "\n").encode()).hexdigest()


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
