"""Settings of bookmarks, read by the kernel from `PLATFORM_BOOKMARKS_…`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class BookmarksSettings(BaseModel):
    """What a deployer may decide; there is nothing that they must."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    welcome_url: str = Field(
        "https://example.org/welcome",
        max_length=2000,
        description="The first bookmark of everybody who registers.",
    )
    keep_deleted_days: float = Field(
        30, gt=0, description="A deleted bookmark is removed for good after this."
    )
