"""
The channel `push`: Web Push to browsers and whatever else speaks it.

Where to, a client has said, so every request goes through `Outbound`, which goes to no inner address.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from notification.contracts import (
    ChannelNotConfigured,
    DeliveryDeferred,
    DeliveryRefused,
    OutgoingMessage,
    RecipientGone,
)
from notification.domain import one_line
from notification.infrastructure.web_push import (
    MOST_PAYLOAD_BYTES,
    encrypt,
    private_key,
    public_key,
    vapid_header,
)
from platform_core.outbound import ForbiddenAddress, Outbound, OutboundAnswer, OutboundFailed
from platform_core.ports import Clock

_TTL_SECONDS: Final = 24 * 3600
"""A push service keeps it so long for a device that sleeps."""

_LONGEST_TITLE: Final = 200
_LONGEST_BODY: Final = 500
_SHORT_BODY: Final = 100
"""Fits whatever it is made of: no character takes more than six bytes."""


class PushChannel:
    """
    Encrypts and hands over messages to devices.

    Args:
        key: the VAPID key, read anew for each message, so that it may rotate; None: not configured.
        contact: who answers for what is sent, `mailto:…` or `https://…`.
        hosts: patterns of push services that may be used; an origin such as `http://push.internal:8080` is taken
            literally, and may lie inside the deployer's network.
    """

    def __init__(
        self, *, key: SecretStr | None, contact: str, hosts: Sequence[str], clock: Clock, outbound: Outbound
    ) -> None:
        self._key, self._contact, self._hosts = key, contact, tuple(hosts)
        self._clock, self._outbound = clock, outbound

    async def send(self, message: OutgoingMessage) -> str:
        key, subscription = self._private_key(), json.loads(message.recipient)
        endpoint = str(subscription["endpoint"])
        body = encrypt(payload_of(message), _decoded(subscription["p256dh"]), _decoded(subscription["auth"]))
        headers = {
            "Authorization": vapid_header(endpoint, key, self._contact, self._clock.now()),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(_TTL_SECONDS),
            "Urgency": "normal",
            "Topic": message.id.hex,  # a repetition replaces what the device has not seen yet (RFC 8030, 5.4)
        }
        try:
            answer = await self._outbound.post(
                endpoint, headers=headers, body=body, is_trusted=self._is_trusted(endpoint)
            )
        except ForbiddenAddress as error:
            raise RecipientGone(f"nothing is sent there: {error}") from error
        except OutboundFailed as error:
            raise DeliveryDeferred(str(error)) from error
        _judge(answer)
        return str(message.id)

    async def check(self) -> None:
        """There are as many push services as browsers: all that can be told is whether there is a key."""
        self._private_key()

    @property
    def public_key(self) -> str:
        """
        The key that browsers subscribe with, base64url.

        Raises:
            ChannelNotConfigured: there is none.
        """
        return public_key(self._private_key())

    def _private_key(self) -> ec.EllipticCurvePrivateKey:
        if self._key is None:
            raise ChannelNotConfigured("not configured: PLATFORM_NOTIFICATION_VAPID_PRIVATE_KEY is not set")
        try:
            return private_key(self._key.get_secret_value())
        except (ValueError, OSError) as error:  # OSError: a mounted secret that is not there
            raise ChannelNotConfigured(
                f"not configured: PLATFORM_NOTIFICATION_VAPID_PRIVATE_KEY {error}"
            ) from error

    def _is_trusted(self, endpoint: str) -> bool:
        parts = urlsplit(endpoint)
        if f"{parts.scheme}://{parts.netloc}" in self._hosts:
            return True
        if not any(fnmatchcase(parts.hostname or "", pattern.lower()) for pattern in self._hosts):
            raise ForbiddenAddress(f"{parts.hostname} is not among PLATFORM_NOTIFICATION_PUSH_HOSTS")
        return False


def payload_of(message: OutgoingMessage) -> bytes:
    """Return what the device's own program gets: JSON, without `data` and shorter where there is no room."""
    said: dict[str, Any] = {
        "id": str(message.id),
        "kind": message.kind,
        "title": one_line(message.subject, _LONGEST_TITLE),
        "body": message.text.strip()[:_LONGEST_BODY],
        "data": dict(message.data),
    }
    smaller: dict[str, Any] = {**said, "data": {}}
    smallest: dict[str, Any] = {**smaller, "body": said["body"][:_SHORT_BODY]}
    tried = (json.dumps(one, ensure_ascii=False).encode() for one in (said, smaller, smallest))
    return next(raw for raw in tried if len(raw) <= MOST_PAYLOAD_BYTES)


def _judge(answer: OutboundAnswer) -> None:
    """Tell apart, by status, what was taken, what may be repeated, and what never will be (RFC 8030, RFC 8292)."""
    status = answer.status
    said = f"the push service said {status}"
    if 200 <= status < 300:
        return
    if status in (404, 410):
        raise RecipientGone(f"{said}: the device has unsubscribed")
    # a key or contact that the service does not like is the deployer's mistake, and must not cost the message
    if status in (401, 403, 408, 425, 429) or status >= 500:
        raise DeliveryDeferred(said)
    raise DeliveryRefused(said)


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
