"""
The facade of `file_management`: what other modules may import. Its extension points are in `file_management.hookspecs`.
"""

from file_management.contracts import (
    ChildView,
    FileDirectory,
    FileId,
    FileProcessed,
    FileRejected,
    FileStatus,
    FileUploaded,
    FileView,
    FolderId,
    FolderView,
    Level,
    PermissionView,
    QuotaView,
    VersionView,
)

__all__ = [
    "ChildView",
    "FileDirectory",
    "FileId",
    "FileProcessed",
    "FileRejected",
    "FileStatus",
    "FileUploaded",
    "FileView",
    "FolderId",
    "FolderView",
    "Level",
    "PermissionView",
    "QuotaView",
    "VersionView",
]
