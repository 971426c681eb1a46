"""Every "no" of this module, each with its default message."""

from __future__ import annotations

from platform_core.errors import DomainError, Kind, NotFound, PreconditionFailed


class FileNotFound(NotFound):
    """There is no such file, or you may not know of it."""


class VersionNotFound(NotFound):
    """The file has no such version."""


class FolderNotFound(NotFound):
    """There is no such folder, or it is not yours."""


class UploadNotFound(NotFound):
    """There is no such upload; it was finished, given up, or is not yours."""


class ThumbnailNotFound(NotFound):
    """The file has no thumbnail, or none yet."""


class GranteeNotFound(NotFound):
    """There is nobody with this id to share with."""


class FileNameTaken(DomainError, kind=Kind.CONFLICT):
    """There is a file of this name in the folder already."""


class FolderNameTaken(DomainError, kind=Kind.CONFLICT):
    """There is a folder of this name in the folder already."""


class FolderInsideItself(DomainError, kind=Kind.CONFLICT):
    """A folder cannot lie in itself, or in one that lies in it."""


class FileQuarantined(DomainError, kind=Kind.CONFLICT):
    """The file waits to be scanned; nobody can read it before."""


class ReadOnly(DomainError, kind=Kind.FORBIDDEN):
    """You may read this file, but not change it."""


class OwnersOnly(DomainError, kind=Kind.FORBIDDEN):
    """Only the owner of the file may do this."""


class QuotaExceeded(DomainError, kind=Kind.TOO_LARGE):
    """There is not enough room left for this; delete something, or ask for more."""


class FileTooLarge(DomainError, kind=Kind.TOO_LARGE):
    """The file is larger than files may be here."""


class TypeNotAllowed(DomainError, kind=Kind.UNSUPPORTED_TYPE):
    """Files of this type are not taken here."""


class InfectedFile(DomainError, kind=Kind.INVALID):
    """A virus was found in the file; nothing of it was kept."""


class UnsafeArchive(DomainError, kind=Kind.INVALID):
    """The archive is nested too deep, or far larger inside than it looks; nothing of it was kept."""


class OffsetMismatch(DomainError, kind=Kind.CONFLICT):
    """The upload does not continue there; ask for its offset."""


class ChecksumMismatch(DomainError, kind=Kind.INVALID):
    """The bytes that arrived have another checksum than you said; send them again."""


class WrongProtocolVersion(PreconditionFailed):
    """Resumable uploads need the header `Tus-Resumable: 1.0.0`."""
