"""Settings of file management, read from `PLATFORM_FILE_MANAGEMENT_…`; where files are is `STORAGE_URL`."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from platform_core.settings import CommaList

MEBIBYTE: Final = 1024 * 1024


class FileManagementSettings(BaseModel):
    """What a deployer decides about files; there is nothing that they must."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_file_bytes: int = Field(1024 * MEBIBYTE, gt=0, description="Largest file; 413 above.")
    quota_bytes: int = Field(
        10 * 1024 * MEBIBYTE, ge=0, description="What all files of one user may have, every version counted."
    )
    allowed_types: CommaList = Field(
        (),
        description="Media types that may be uploaded, such as image/*,application/pdf; by default all but those of"
        " refused_types.",
    )
    refused_types: CommaList = Field(
        ("executable/*",),
        description="Media types that may not; executable/* are programs and scripts of operating systems.",
    )
    keep_deleted_days: float = Field(30, gt=0, description="A deleted file is removed for good after this.")
    upload_expires_hours: float = Field(
        24, gt=0, description="A resumable upload that got no bytes for so long is given up."
    )
    workspace_folder: str = Field(
        "Workspace",
        min_length=1,
        max_length=255,
        description="What the folder is called that everybody who registers finds.",
    )
    onboarding: bool = Field(True, description="Whether everybody who registers finds a folder.")
    scan_timeout_seconds: float = Field(
        30, gt=0, le=300, description="A scanner that takes longer counts as away."
    )
    thumbnail_max_pixels: int = Field(
        25_000_000, gt=0, description="Pictures with more pixels get no thumbnail."
    )
    thumbnail_timeout_seconds: float = Field(
        20, gt=0, le=50, description="Making one thumbnail may take so long."
    )
    thumbnail_memory_bytes: int = Field(
        512 * MEBIBYTE, ge=128 * MEBIBYTE, description="Address space of the process that makes a thumbnail."
    )
