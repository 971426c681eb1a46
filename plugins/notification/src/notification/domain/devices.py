"""Browsers and phones that messages are pushed to, as the W3C's Push API describes them."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from platform_core.domain import Aggregate, is_public_host
from platform_core.errors import DomainError, InvalidInput, Kind

DEVICES_COUNT: Final = 20
"""Of one user; each has a place of its own, so that the database can say no."""

_KEY_BYTES: Final = 65
_AUTH_BYTES: Final = 16

# The curve of the keys, P-256 (NIST SP 800-186, 3.2.1.3): y² = x³ − 3x + b, modulo p.
_P: Final = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_B: Final = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B


class DeviceTaken(DomainError, kind=Kind.CONFLICT):
    """Somebody else has registered this device, with other keys."""


class TooManyDevices(DomainError, kind=Kind.CONFLICT):
    """You have as many devices as one can have; remove one first."""


@dataclass(eq=False, kw_only=True)
class Device(Aggregate):
    """
    One push subscription.

    Attributes:
        endpoint: where its push service takes messages; whoever knows it and has our key may send some.
        p256dh, auth: its public key and shared secret, base64url; only the device itself can read what is sent.
        name: for its owner.
        place: 0 to `DEVICES_COUNT` − 1, no other device of the user has it.
    """

    user_id: UUID
    endpoint: str
    p256dh: str
    auth: str
    name: str | None
    place: int

    @property
    def push_service(self) -> str:
        """The host that takes its messages, which says nothing about the device."""
        return urlsplit(self.endpoint).hostname or ""

    @property
    def address(self) -> str:
        """Everything that sending takes, as the channel understands it."""
        return json.dumps({"endpoint": self.endpoint, "p256dh": self.p256dh, "auth": self.auth})

    def register_again(
        self, user_id: UUID, p256dh: str, auth: str, name: str | None, place: int, now: datetime
    ) -> None:
        """
        Take a device that is known already: its owner has new keys, or somebody else has logged in there.

        One that is as it was stays as it is, so that a browser may register with every visit.

        Raises:
            DeviceTaken: it is somebody else's, and who asks does not know its keys.
        """
        has_same_keys = (p256dh, auth) == (self.p256dh, self.auth)
        if user_id != self.user_id:
            if not has_same_keys:
                raise DeviceTaken
            self.user_id, self.place = user_id, place
        elif has_same_keys and name in (None, self.name):
            return
        self.p256dh, self.auth = p256dh, auth
        self.name = name or self.name
        self.touch(now)


def free_place(taken: Collection[int]) -> int:
    """
    Return the first place that no device of a user has.

    Raises:
        TooManyDevices: all are taken.
    """
    for place in range(DEVICES_COUNT):
        if place not in taken:
            return place
    raise TooManyDevices


def check_subscription(endpoint: str, p256dh: str, auth: str, *, trusted: Collection[str] = ()) -> None:
    """
    Insist on a subscription that can be sent to; whether its host is a public one is known when it is looked up.

    Args:
        trusted: origins that the deployer named: `http://push.internal:8080`.

    Raises:
        InvalidInput: with the field at fault.
    """
    if not _is_endpoint(endpoint, trusted):
        raise InvalidInput.of("endpoint", "is no https address of a push service", "invalid_endpoint")
    if not _is_point(_decoded(p256dh)):
        raise InvalidInput.of("keys/p256dh", "is no public key of the curve P-256", "invalid_key")
    if len(_decoded(auth)) != _AUTH_BYTES:
        raise InvalidInput.of("keys/auth", "is not 16 bytes in base64url", "invalid_key")


def _is_endpoint(endpoint: str, trusted: Collection[str]) -> bool:
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
        return False
    if f"{parts.scheme}://{parts.netloc}" in trusted:
        return True
    if parts.scheme != "https" or parts.username is not None or parts.fragment or port == 0:
        return False
    return is_public_host(host.rstrip("."))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), b"-_", validate=True)
    except ValueError:
        return b""


def _is_point(raw: bytes) -> bool:
    if len(raw) != _KEY_BYTES or raw[0] != 4:
        return False
    x, y = int.from_bytes(raw[1:33], "big"), int.from_bytes(raw[33:], "big")
    return x < _P and y < _P and (y * y - (x * x * x - 3 * x + _B)) % _P == 0
