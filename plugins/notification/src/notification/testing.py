"""
For tests: somebody is told something, and the scenarios that every adapter of a `Channel` must pass.

    await announce(p, eve.id, title="The library closes early")
    [entry] = (await eve.client.get("/api/v1/notifications")).json()["items"]

    class TestPager(ChannelConformance):
        @pytest.fixture
        async def far_side(self) -> AsyncIterator[FarSide]:
            async with pager_simulator() as simulator:
                yield simulator
"""

# ruff: noqa: S101  # assertions are the product of this file

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from notification.application.announcements import Announce
from notification.contracts import (
    Channel,
    ChannelNotConfigured,
    DeliveryDeferred,
    DeliveryRefused,
    OutgoingMessage,
)
from platform_core.domain import new_id

if TYPE_CHECKING:
    from httpx2 import AsyncClient

    from platform_core.testing import RunningPlatform

__all__ = [
    "FACTORIES",
    "ChannelConformance",
    "FarSide",
    "announce",
    "register_device",
    "set_preferences",
    "settings_for_tests",
    "write_template",
]

Thing = dict[str, Any]
"""What a route answered."""


@cache
def settings_for_tests() -> Mapping[str, str]:
    """Return what makes everything work under test: a throw-away key for pushes; mails have the kit's own server."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {"PLATFORM_NOTIFICATION_VAPID_PRIVATE_KEY": pem}


async def announce(
    p: RunningPlatform,
    *user_ids: UUID,
    title: str = "The library closes early",
    text: str = "At noon.",
    announcement_id: UUID | None = None,
) -> UUID:
    """Tell users something, on whichever channels they want; return the id of the announcement."""
    identity = announcement_id or new_id()
    await p.execute(Announce(announcement_id=identity, recipients=list(user_ids), title=title, text=text))
    return identity


async def set_preferences(client: AsyncClient, **channels: bool) -> Thing:
    """Say on which channels the caller wants to hear: `email=False`."""
    answer = await client.put(f"{_BASE}/preferences", json={"channels": channels})
    assert answer.status_code == 200, answer.text
    preferences: Thing = answer.json()
    return preferences


async def write_template(
    administrator: AsyncClient, kind: str, *, channel: str = "email", locale: str = "en", **wording: str
) -> Thing:
    """Word a kind anew; `wording` as the route takes it, what is left out is as built in."""
    return await _made(
        administrator, "templates", {"kind": kind, "channel": channel, "locale": locale} | wording
    )


async def register_device(client: AsyncClient, endpoint: str = "https://push.example.com/phone") -> Thing:
    """Let the caller be pushed to; the keys are a browser's, made and thrown away."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    keys = {"p256dh": _base64url(point), "auth": _base64url(secrets.token_bytes(16))}
    return await _made(client, "devices", {"endpoint": endpoint, "keys": keys})


FACTORIES: Final = {
    "notification.email": announce,
    "notification.preferences": set_preferences,
    "notification.template": write_template,
    "notification.device": register_device,
}
"""What makes one of each aggregate."""

_BASE: Final = "/api/v1/notifications"


async def _made(client: AsyncClient, path: str, body: Thing) -> Thing:
    answer = await client.post(f"{_BASE}/{path}", json=body)
    assert answer.status_code == 201, answer.text
    made: Thing = answer.json()
    return made


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class FarSide(Protocol):
    """What a message is handed over to, and how a test makes it behave."""

    address: str
    """A recipient that it knows."""

    def channel(self) -> Channel:
        """Return an adapter that talks to it."""
        ...

    def unconfigured(self) -> Channel:
        """Return an adapter that nobody told where to send to."""
        ...

    def defer_next(self) -> None:
        """Answer "not now" to the next message, whenever it comes."""
        ...

    def refuse_next(self) -> None:
        """Answer "never" to the next message."""
        ...

    async def disappear(self) -> None:
        """Be away from now on."""
        ...

    def received(self) -> Sequence[str]:
        """Return the identifiers of what was taken, in order."""
        ...


class ChannelConformance:
    """Subclass it under a name that begins with `Test`, with a fixture `far_side`."""

    async def test_a_message_is_handed_over_once_under_the_identifier_that_is_returned(
        self, far_side: FarSide
    ) -> None:
        identifier = await far_side.channel().send(_message(far_side))
        assert list(far_side.received()) == [identifier]

    async def test_a_repetition_has_the_same_identifier(self, far_side: FarSide) -> None:
        message, channel = _message(far_side), far_side.channel()
        assert await channel.send(message) == await channel.send(message)

    async def test_another_message_has_another_identifier(self, far_side: FarSide) -> None:
        channel = far_side.channel()
        assert await channel.send(_message(far_side)) != await channel.send(_message(far_side))

    async def test_a_message_without_html_is_handed_over_too(self, far_side: FarSide) -> None:
        await far_side.channel().send(_message(far_side, html=None))
        assert len(far_side.received()) == 1

    async def test_not_now_is_told_and_the_next_attempt_succeeds(self, far_side: FarSide) -> None:
        message, channel = _message(far_side), far_side.channel()
        far_side.defer_next()
        with pytest.raises(DeliveryDeferred):
            await channel.send(message)
        await channel.send(message)
        assert len(far_side.received()) == 1

    async def test_never_is_told_apart_from_not_now(self, far_side: FarSide) -> None:
        far_side.refuse_next()
        with pytest.raises(DeliveryRefused):
            await far_side.channel().send(_message(far_side))
        assert list(far_side.received()) == []

    async def test_a_far_side_that_is_away_defers(self, far_side: FarSide) -> None:
        channel = far_side.channel()
        await channel.check()
        await far_side.disappear()
        with pytest.raises(DeliveryDeferred):
            await channel.send(_message(far_side))
        with pytest.raises(DeliveryDeferred):
            await channel.check()

    async def test_a_channel_that_nobody_configured_says_so(self, far_side: FarSide) -> None:
        channel = far_side.unconfigured()
        with pytest.raises(ChannelNotConfigured):
            await channel.send(_message(far_side))
        with pytest.raises(ChannelNotConfigured):
            await channel.check()


def _message(far_side: FarSide, html: str | None = "<p>Hello</p>") -> OutgoingMessage:
    return OutgoingMessage(
        id=new_id(),
        recipient=far_side.address,
        recipient_name="Maria",
        subject="Hello",
        text="Hello\n",
        html=html,
        locale="en",
    )
