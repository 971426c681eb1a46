"""Settings of project management, read from `PLATFORM_PROJECT_MANAGEMENT_…`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ProjectManagementSettings(BaseModel):
    """What a deployer decides about projects; there is nothing that they must."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_project: str = Field(
        "My first project",
        min_length=1,
        max_length=200,
        description="What the project is called that everybody who registers finds.",
    )
    onboarding: bool = Field(True, description="Whether everybody who registers finds a project.")
