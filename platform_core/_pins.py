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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

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


def digest_of(folder: Path) -> str:
    """Return the SHA-256 over names and contents of a package's files; neither its place nor caches count."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if path.is_file() and path.suffix != ".pyc" and "__pycache__" not in path.parts:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()
