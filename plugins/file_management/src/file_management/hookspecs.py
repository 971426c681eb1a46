"""
The extension points of `file_management`, and what a plugin needs to use them.

    @hookimpl
    def file_scanners():
        return [FileScanner(name="house_rules", adapter=HouseRules)]

The adapter is a type that the same plugin's services provide, one per process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol
from uuid import UUID

from platform_core.errors import OperationError
from platform_core.hookspecs import hookspec
from platform_core.ports import Draft

__all__ = [
    "CLEAN",
    "AccessRule",
    "CannotProcess",
    "FileAccessRule",
    "FileProcessor",
    "FileScanner",
    "Processor",
    "Scanner",
    "ScannerAway",
    "Verdict",
    "file_access_rules",
    "file_processors",
    "file_scanners",
]

THUMBNAIL: Final = "thumbnail"
"""What a processor calls a picture of the content: WebP, longest side 512 at most."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What a scanner says of a content; anything but an explicit `clean` keeps it out.

    Attributes:
        detail: such as the name of the virus; shown to the owner.
    """

    outcome: Literal["clean", "infected", "unsafe"]
    detail: str = ""


CLEAN: Final = Verdict("clean")


class ScannerAway(OperationError):
    """The scanner cannot be asked just now; what it was to scan waits in quarantine."""


class CannotProcess(OperationError):
    """The content cannot be processed, now or later; the message says why."""


class Scanner(Protocol):
    """Looks into content before anybody can read it."""

    async def scan(self, content: Draft) -> Verdict:
        """
        Say what the content is.

        Raises:
            ScannerAway: no answer is to be had; every other exception means the same.
        """
        ...

    async def check(self) -> str | None:
        """Tell whether it can be asked, and return a remark for `/health/ready`; raises when it cannot."""
        ...


class Processor(Protocol):
    """Makes something of content."""

    async def process(self, content: Draft) -> Mapping[str, bytes]:
        """
        Return what was made, by name; `thumbnail` is served, other names are kept beside the file.

        Raises:
            CannotProcess: it is pointless to try again.
        """
        ...


class AccessRule(Protocol):
    """Opens files to people who neither own them nor were given them."""

    async def may_read(self, user_id: UUID, file_id: UUID) -> bool:
        """Tell whether this rule lets somebody read a file, at this moment."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FileScanner:
    """
    A contributed scanner.

    Attributes:
        adapter: type of a `Scanner` among the plugin's services; where that is None, it is not configured and left out.
    """

    name: str
    adapter: type[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProcessor:
    """A contributed processor of content whose type `wants` says yes to."""

    name: str
    adapter: type[Any]
    wants: Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAccessRule:
    """A contributed rule; `adapter` is the type of an `AccessRule` among the plugin's services."""

    name: str
    adapter: type[Any]


@hookspec
def file_scanners() -> Sequence[FileScanner]:  # type: ignore[empty-body]  # a specification has no body
    """
    Offer scanners; each looks into everything that is uploaded, and all have to call it clean.

    When called: with the first upload of a process.
    Return: scanners; the adapter of each is provided per process by the same plugin's services.
    Must not: look only at name or declared type; they are the client's.
    On error: nothing is scanned, so everything stays in quarantine.
    Since: 0.1
    """


@hookspec
def file_processors() -> Sequence[FileProcessor]:  # type: ignore[empty-body]  # as above
    """
    Offer processors, which run in a worker once the content was found clean.

    When called: with the first upload of a process.
    Return: processors; the adapter of each is provided per process by the same plugin's services.
    Must not: decode untrusted content in the worker's own process.
    On error: files are completed without being processed.
    Since: 0.1
    """


@hookspec
def file_access_rules() -> Sequence[FileAccessRule]:  # type: ignore[empty-body]  # as above
    """
    Offer rules by which people may read files that are neither theirs nor shared with them.

    When called: when somebody asks for such a file, for the first time in a process.
    Return: rules; the adapter of each is provided per process by the same plugin's services.
    Must not: write, or answer from what was true a while ago.
    On error: nobody gets in by a rule.
    Since: 0.1
    """
