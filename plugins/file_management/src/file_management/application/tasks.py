"""What a worker does later, and on a schedule; the commands only, so that use cases can ask for each other's."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from platform_core.domain import Command


@dataclass(frozen=True, kw_only=True)
class ScanFile(Command[None]):
    """Scan a version that waits in quarantine."""

    file_id: UUID
    file_version: int


@dataclass(frozen=True, kw_only=True)
class ProcessFile(Command[None]):
    """Make of a version what processors make of such content."""

    file_id: UUID
    file_version: int


@dataclass(frozen=True, kw_only=True)
class DiscardObjects(Command[None]):
    """Delete objects of the storage that nothing refers to any more."""

    keys: list[str]


@dataclass(frozen=True, kw_only=True)
class PurgeFiles(Command[None]):
    """Remove for good what was deleted a while ago."""


@dataclass(frozen=True, kw_only=True)
class SweepStorage(Command[None]):
    """Take away what steps left behind that died in between."""
