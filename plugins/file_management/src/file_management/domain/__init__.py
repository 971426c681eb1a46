"""Files, folders and uploads with their rules; standard library only."""

from file_management.domain.errors import (
    ChecksumMismatch,
    FileNameTaken,
    FileNotFound,
    FileQuarantined,
    FileTooLarge,
    FolderInsideItself,
    FolderNameTaken,
    FolderNotFound,
    GranteeNotFound,
    InfectedFile,
    OffsetMismatch,
    OwnersOnly,
    QuotaExceeded,
    ReadOnly,
    ThumbnailNotFound,
    TypeNotAllowed,
    UnsafeArchive,
    UploadNotFound,
    VersionNotFound,
)
from file_management.domain.files import COMPLETED, FAILED, PROCESSING, QUARANTINED, Blob, File, Version
from file_management.domain.folders import Folder
from file_management.domain.names import file_name, folder_name
from file_management.domain.types import OCTETS, TypePolicy
from file_management.domain.uploads import Upload

__all__ = [
    "COMPLETED",
    "FAILED",
    "OCTETS",
    "PROCESSING",
    "QUARANTINED",
    "Blob",
    "ChecksumMismatch",
    "File",
    "FileNameTaken",
    "FileNotFound",
    "FileQuarantined",
    "FileTooLarge",
    "Folder",
    "FolderInsideItself",
    "FolderNameTaken",
    "FolderNotFound",
    "GranteeNotFound",
    "InfectedFile",
    "OffsetMismatch",
    "OwnersOnly",
    "QuotaExceeded",
    "ReadOnly",
    "ThumbnailNotFound",
    "TypeNotAllowed",
    "TypePolicy",
    "UnsafeArchive",
    "Upload",
    "UploadNotFound",
    "Version",
    "VersionNotFound",
    "file_name",
    "folder_name",
]
