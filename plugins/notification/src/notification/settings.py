"""What a deployer may tell `notification`: `PLATFORM_NOTIFICATION_<FIELD>`; the mail server is `SMTP_URL`."""

from __future__ import annotations

import json
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from platform_core.settings import CommaList

__all__ = ["NotificationSettings"]


def _address(value: str) -> str:
    if not re.fullmatch(r"[^\s<>@,;:\"]+@[^\s<>@,;:\"]+", value):
        raise ValueError("is no e-mail address")
    return value


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("holds line breaks or control characters")
    return value


def _contact(value: str) -> str:
    if not value.startswith(("mailto:", "https://")):
        raise ValueError("is no mailto: or https: address")
    return value


def _json_object(value: str) -> str:
    try:
        is_object = isinstance(json.loads(value), dict)
    except ValueError:
        is_object = False
    if not is_object:
        raise ValueError("is no JSON object")
    return value


class NotificationSettings(BaseModel):
    """Who writes, where to, how long to wait for it, and how long it is kept."""

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
    vapid_private_key: SecretStr | None = Field(
        None,
        description="Signs what is pushed to browsers: a P-256 key, PEM or 32 bytes in base64url (openssl ecparam -name"
        " prime256v1 -genkey -noout). Without it nothing is pushed; whoever changes it has to subscribe anew.",
    )
    vapid_contact: Annotated[str, AfterValidator(_contact)] | None = Field(
        None,
        max_length=254,
        description="Whom push services write to, mailto: or https:; the sender of mails by default.",
    )
    push_hosts: CommaList = Field(
        ("*",),
        description="Push services that devices may name, such as fcm.googleapis.com,*.push.services.mozilla.com; inner"
        " addresses are refused unless given as a whole origin: https://push.internal:8443.",
    )
    sms_url: SecretStr | None = Field(
        None, description="Gateway that text messages are posted to, as JSON; without it none is sent."
    )
    sms_authorization: SecretStr | None = Field(
        None, description="The whole Authorization header for the gateway: Bearer … or Basic …."
    )
    sms_sender: Annotated[str, AfterValidator(_one_line)] = Field(
        "", max_length=40, description="What the gateway shows as the sender."
    )
    sms_body: Annotated[str, AfterValidator(_json_object)] = Field(
        '{"id": "{id}", "to": "{to}", "from": "{from}", "text": "{text}"}',
        max_length=2000,
        description="What is posted to the gateway; {id}, {to}, {from} and {text} are filled in.",
    )
    keep_days: float = Field(90, gt=0, description="Entries of inboxes are deleted after this.")
    keep_log_days: float = Field(365, gt=0, description="The log of messages is deleted after this.")
