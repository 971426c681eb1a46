"""What every content goes through before it is kept: scanners first, then its type."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from file_management.application.ports import Processors, Scanners, Types
from file_management.application.tasks import ProcessFile, ScanFile
from file_management.contracts import FileRejected, FileView
from file_management.domain import (
    PROCESSING,
    QUARANTINED,
    Blob,
    File,
    InfectedFile,
    TypeNotAllowed,
    TypePolicy,
    UnsafeArchive,
    is_called_picture,
)
from file_management.hookspecs import CLEAN, THUMBNAIL, ScannerAway, Verdict
from file_management.settings import FileManagementSettings
from platform_core.domain import new_id
from platform_core.errors import DomainError
from platform_core.ports import Clock, Draft, Jobs, Outbox

_log = logging.getLogger(__name__)

AGGREGATE_TYPE = "file_management.file"


class Rejected(Exception):
    """
    Content that is not taken.

    Attributes:
        refusal: what the client hears.
        reason, detail: what the event says.
    """

    def __init__(self, refusal: DomainError, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.refusal, self.reason, self.detail = refusal, reason, detail


@dataclass(frozen=True, slots=True)
class Intake:
    """Looks into content, and keeps it."""

    types: Types
    scanners: Scanners
    processors: Processors
    settings: FileManagementSettings
    outbox: Outbox
    jobs: Jobs
    clock: Clock

    async def take(self, content: Draft, name: str) -> Blob:
        """
        Keep content that every scanner calls clean, or that waits in quarantine because one cannot be asked.

        Raises:
            Rejected: it is infected, an archive made to do harm, or of a type that is not taken; nothing is kept.
        """
        is_clean = await self._scan(content)
        content_type = self.types.sniff(content.head, name)
        try:
            self._policy.check(content_type, name)
        except TypeNotAllowed as refusal:
            raise Rejected(refusal, "type_not_allowed", content_type) from None
        # a command that is run again, because somebody was faster, finds its content kept
        key = content.kept_as or object_key("objects", new_id(), self.clock.now())
        await content.keep(key)
        return Blob(key, content.size_bytes, content_type, content.sha256, is_clean)

    def require_fitting(self, name: str, content_type: str) -> None:
        """
        Insist that content which was taken before may go by this name.

        Raises:
            TypeNotAllowed: under that name it would not be taken.
        """
        self._policy.check(self.types.renamed(content_type, name), name)

    def require_renamable(self, old: str, new: str, content_type: str) -> None:
        """
        Insist on the same where the new name makes something else of the content than the old one.

        A name that does not stays possible when fewer types are taken than were once.

        Raises:
            TypeNotAllowed: under the new name it would not be taken.
        """
        is_another_type = self.types.renamed(content_type, new) != self.types.renamed(content_type, old)
        if is_another_type or (is_called_picture(new) and not is_called_picture(old)):
            self.require_fitting(new, content_type)

    def rejected(self, rejection: Rejected, *, name: str, owner_id: UUID) -> None:
        """Tell that something was not taken that was to be a new file."""
        file_id = new_id()
        event = FileRejected(
            file_id=file_id,
            name=name,
            owner_id=owner_id,
            uploaded_by=owner_id,
            reason=rejection.reason,
            detail=rejection.detail,
        )
        self.outbox.emit(event, aggregate_type=AGGREGATE_TYPE, aggregate_id=file_id)

    def is_processed(self, blob: Blob) -> bool:
        """Tell whether something is to be made of it."""
        return self.processors.want(blob.content_type)

    def follow_up(self, file: File) -> None:
        """Store the job that the status of a file asks for."""
        if file.status == QUARANTINED:
            self.jobs.later(ScanFile(file_id=file.id, file_version=file.file_version))
        elif file.status == PROCESSING:
            self.jobs.later(ProcessFile(file_id=file.id, file_version=file.file_version))

    @property
    def _policy(self) -> TypePolicy:
        return TypePolicy(self.settings.allowed_types, self.settings.refused_types)

    async def _scan(self, content: Draft) -> bool:
        try:
            verdict = await self.scanners.scan(content)
        except ScannerAway as away:
            _log.warning("an upload waits in quarantine: %s", away)
            return False
        require_clean(verdict)
        return True


def require_clean(verdict: Verdict) -> None:
    """
    Insist on an explicit "clean".

    Raises:
        Rejected: it says anything else.
    """
    if verdict == CLEAN:
        return
    if verdict.outcome == "unsafe":
        raise Rejected(UnsafeArchive(verdict.detail), "unsafe_archive", verdict.detail)
    raise Rejected(
        InfectedFile(extra={"signature": verdict.detail}), "infected", verdict.detail or "not clean"
    )


def object_key(kind: str, owner_id: UUID, now: datetime) -> str:
    """
    Make a key of the storage; the day in it tells the sweeper where to look for what nobody refers to.

    Args:
        kind: `objects`, `derived` or `parts`.
        owner_id: the file or upload that will refer to it, where that is known.
    """
    return f"file_management/{kind}/{now:%Y%m%d}/{owner_id.hex}_{new_id().hex}"


def view(file: File) -> FileView:
    """Show a file."""
    return FileView(
        id=file.id,
        name=file.name,
        folder_id=file.folder_id,
        size=file.size,
        content_type=file.content_type,
        checksum_sha256=file.checksum_sha256,
        version=file.file_version,
        status=file.status,
        processing=file.status == PROCESSING,
        has_thumbnail=THUMBNAIL in file.derived,
        uploaded_by=file.uploaded_by,
        created_at=file.created_at,
        updated_at=file.updated_at,
    )
