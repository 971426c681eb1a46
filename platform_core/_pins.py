"""
What `PLATFORM_MODULES` says of a module: its name, and where it is pinned its version and what its files are.

    blog                              whatever is installed
    blog==0.2.0                       this version
    blog==0.2.0@sha256:9f86d081…      this version, and exactly these files

A pin is compared before anything of the module is imported. Private to the kernel; imports nothing heavy, because
`platform --help` wants to know which modules are meant.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import ClassVar, Final

KERNEL: Final = "platform"
"""What the kernel is called among modules; it is none, and belongs to every set."""

_PIN = re.compile(r"(?P<name>[^=@\s]+)(?:==(?P<version>[^@\s]+))?(?:@sha256:(?P<digest>[0-9a-f]{64}))?")


@dataclass(frozen=True, slots=True)
class Pin:
    """
    One entry of the list.

    Attributes:
        version: None accepts every one.
        digest: of its files, see `digest_of`; None accepts all.
    """

    name: str
    version: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Pin:
        """Read an entry; one that makes no sense is a name that nothing has."""
        found = _PIN.fullmatch(text.strip())
        return cls(found["name"], found["version"], found["digest"]) if found else cls(text.strip())

    def __str__(self) -> str:
        version = f"=={self.version}" if self.version else ""
        return f"{self.name}{version}" + (f"@sha256:{self.digest}" if self.digest else "")

    def refusal(self, version: str, folder: Path | None) -> str | None:
        """
        Return why what is installed is not what was pinned, or None.

        Args:
            folder: the package's, None where it has none.
        """
        if self.version is not None and version != self.version:
            return f"PLATFORM_MODULES asks for version {self.version}, but {version} is installed"
        if self.digest is not None and (folder is None or digest_of(folder) != self.digest):
            return f"its files are not those of {self.version or version} that PLATFORM_MODULES asks for"
        return None


def pins(entries: Iterable[str]) -> Mapping[str, Pin]:
    """Return the entries by name."""
    return {pin.name: pin for pin in map(Pin.parse, entries)}


def narrowed(frozen: Sequence[str], chosen: Sequence[str]) -> tuple[str, ...]:
    """
    Return the entries of a frozen set that were chosen, and the kernel's; all of them where nothing was chosen.

    Raises:
        ValueError: something was chosen that the set does not have, or has with another version or other files.
    """
    if not chosen:
        return tuple(frozen)
    pinned, wanted = pins(frozen), pins(chosen)
    offered = {*pinned.values(), *map(Pin, [KERNEL, *pinned])}
    if strangers := [str(pin) for pin in wanted.values() if pin not in offered]:
        raise ValueError(
            f"names {', '.join(strangers)}, and PLATFORM_MODULES_FILE does not; it can only choose among what that"
            f" file has: {', '.join(name for name in pinned if name != KERNEL)}"
        )
    return tuple(str(pinned.get(name, Pin(name))) for name in dict.fromkeys([KERNEL, *wanted]))


def digest_of(folder: Path) -> str:
    """
    Return the SHA-256 over names and contents of a package's files; neither its place nor caches count.

    Compiled code beside the sources is one of them, because Python imports that too; what lies in `__pycache__` is
    none, because nothing of a pinned module is run from there (`run_from_sources`). The kernel is the exception: it
    is what compares, so it has been imported before, from its caches where it has some.
    """
    digest = hashlib.sha256()
    for name, path in sorted(_files(folder)):
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield a package's files, and what they are called in it."""
    roots = {"": folder}
    if folder.name == "platform_core" and not (folder / "_alembic").is_dir():
        roots["_alembic/"] = (
            folder.parent / "alembic"
        )  # where the wheel puts what lies beside it in a checkout
    for prefix, root in roots.items():
        for path in root.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{prefix}{path.relative_to(root).as_posix()}", path


def run_from_sources(package: str) -> None:
    """From now on compile what is imported of a package, instead of trusting a cache that nobody pinned."""
    if _Pinned not in sys.meta_path:
        sys.meta_path.insert(0, _Pinned)
    _Pinned.packages.add(package)


class _FromSource(SourceFileLoader):
    """Reads the source, and neither reads nor writes `__pycache__`."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Pinned:
    """Finds what Python would find, and has it loaded from source where it belongs to a pinned package."""

    packages: ClassVar[set[str]] = set()

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in cls.packages:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _FromSource(spec.loader.name, spec.loader.path)
        return spec
