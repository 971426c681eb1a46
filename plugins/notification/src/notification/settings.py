"""What a deployer may tell `notification`: `PLATFORM_NOTIFICATION_<FIELD>`; the mail server is `SMTP_URL`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = ["NotificationSettings"]


def _address(value: str) -> str:
    if not re.fullmatch(r"[^\s<>@,;:\"]+@[^\s<>@,;:\"]+", value):
        raise ValueError("is no e-mail address")
    return value


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("holds line breaks or control characters")
    return value


class NotificationSettings(BaseModel):
    """Who writes the mails, and how long to wait for the mail server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    from_address: Annotated[str, AfterValidator(_address)] | None = Field(
        None,
        max_length=254,
        description="Sender of every mail; by default no-reply@ the host of PLATFORM_PUBLIC_URL.",
    )
    from_name: Annotated[str, AfterValidator(_one_line)] = Field(
        "Platform Core",
        min_length=1,
        max_length=80,
        description="The sender's name; mails call the platform by it.",
    )
    connect_timeout_seconds: float = Field(
        10,
        gt=0,
        le=15,
        description="Connecting to the mail server, encryption and login together may take so long.",
    )
    send_timeout_seconds: float = Field(
        10, gt=0, le=15, description="Handing over one mail may take so long once connected."
    )
