"""Text messages through a gateway, and both channels over HTTP keep the promises of a channel."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from far_side import Browser, HttpServer
from pydantic import SecretStr

from notification.contracts import ChannelNotConfigured, DeliveryDeferred, DeliveryRefused, OutgoingMessage
from notification.domain import Device
from notification.infrastructure.push import PushChannel, payload_of
from notification.infrastructure.sms import SmsChannel
from notification.infrastructure.web_push import MOST_PAYLOAD_BYTES, base64url
from notification.settings import NotificationSettings
from notification.testing import ChannelConformance, FarSide, announce
from platform_core.clock import SystemClock
from platform_core.domain import new_id
from platform_core.outbound import Outbound
from platform_core.testing import PlatformFactory
from user_management.testing import essentials, sign_up

MODULES = ["user_management", "notification"]
BODY = NotificationSettings.model_fields["sms_body"].default


def sms_channel(server: HttpServer | None, *, body: str = BODY, seconds: float = 5) -> SmsChannel:
    return SmsChannel(
        url=SecretStr(f"{server.origin}/send") if server else None,
        authorization=SecretStr("Bearer gateway-password"),  # pragma: allowlist secret
        sender="Platform",
        body=body,
        outbound=Outbound(timeout_seconds=seconds),
    )


class TextFarSide:
    """A gateway as the far side of a channel."""

    address = "+49 30 1234-56"

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._origin = server.origin

    def channel(self) -> SmsChannel:
        return sms_channel(self._server, seconds=2)

    def unconfigured(self) -> SmsChannel:
        return sms_channel(None)

    def defer_next(self) -> None:
        self._server.answers.append(503)

    def refuse_next(self) -> None:
        self._server.answers.append(422)

    async def disappear(self) -> None:
        await self._server.stop()

    def received(self) -> Sequence[str]:
        return [json.loads(request.body)["id"] for request in self._server.accepted]


class TestText(ChannelConformance):
    @pytest.fixture
    def far_side(self, far_http: HttpServer) -> TextFarSide:
        return TextFarSide(far_http)


class PushFarSide:
    """A push service as the far side of a channel."""

    def __init__(self, server: HttpServer) -> None:
        self._server, self._browser, self._origin = server, Browser(f"{server.origin}/1"), server.origin
        subscription = self._browser.subscription
        self.address = json.dumps({"endpoint": subscription["endpoint"], **subscription["keys"]})

    def channel(self) -> PushChannel:
        return self._make(SecretStr(base64url(bytes(range(1, 33)))))

    def unconfigured(self) -> PushChannel:
        return self._make(None)

    def _make(self, key: SecretStr | None) -> PushChannel:
        return PushChannel(
            key=key,
            contact="mailto:ops@example.com",
            hosts=[self._origin],
            clock=SystemClock(),
            outbound=Outbound(timeout_seconds=2),
        )

    def defer_next(self) -> None:
        self._server.answers.append(429)

    def refuse_next(self) -> None:
        self._server.answers.append(413)

    async def disappear(self) -> None:
        await self._server.stop()

    def received(self) -> Sequence[str]:
        return [self._browser.read(request)["id"] for request in self._server.accepted]


class TestPush(ChannelConformance):
    @pytest.fixture
    def far_side(self, far_http: HttpServer) -> PushFarSide:
        return PushFarSide(far_http)

    async def test_a_far_side_that_is_away_defers(self, far_side: FarSide) -> None:
        """There is a push service for each browser, so whether they are there shows only when one is sent to."""
        await far_side.disappear()
        with pytest.raises(DeliveryDeferred):
            await far_side.channel().send(message(recipient=far_side.address))


def message(**changes: Any) -> OutgoingMessage:
    values: dict[str, Any] = {
        "id": new_id(),
        "recipient": "+4930123456",
        "recipient_name": "Maria",
        "subject": "Paint the fence",
        "text": "",
        "html": None,
        "locale": "en",
    }
    return OutgoingMessage(**(values | changes))


async def test_a_text_is_posted_with_its_login_and_the_gateways_identifier_is_kept(
    far_http: HttpServer,
) -> None:
    far_http.says = b'{"message_id": "gw-7"}'
    sent = message(text="Line one\r\nline two {to}" + "x" * 1000)
    assert await sms_channel(far_http).send(sent) == "gw-7"
    [request] = far_http.received
    body = json.loads(request.body)
    assert (request.path, request.headers["authorization"]) == ("/send", "Bearer gateway-password")
    assert request.headers["idempotency-key"] == str(sent.id) == body["id"]
    assert (body["to"], body["from"]) == ("+4930123456", "Platform")
    assert body["text"].startswith("Line one line two {to}xxx")
    assert len(body["text"]) == 459


async def test_a_gateway_may_want_other_fields(far_http: HttpServer) -> None:
    body = '{"messages": [{"destination": ["{to}"], "content": "{text}", "flash": false}]}'
    await sms_channel(far_http, body=body).send(message())
    sent = {"destination": ["+4930123456"], "content": "Paint the fence", "flash": False}
    assert json.loads(far_http.received[0].body) == {"messages": [sent]}


@pytest.mark.parametrize("number", ["123", "+49abc", "call me", "+0123456789", "+4930123456\r\nX: 1"])
async def test_what_is_no_number_is_never_sent(far_http: HttpServer, number: str) -> None:
    with pytest.raises(DeliveryRefused):
        await sms_channel(far_http).send(message(recipient=number))
    assert far_http.received == []


async def test_a_slow_gateway_is_not_waited_for(far_http: HttpServer) -> None:
    far_http.answers.append(30.0)
    with pytest.raises(DeliveryDeferred, match="took longer"):
        await sms_channel(far_http, seconds=0.2).send(message())


async def test_a_redirection_is_followed_by_nobody(far_http: HttpServer) -> None:
    far_http.headers = f"location: {far_http.origin}/other\r\n"
    far_http.answers.append(307)
    with pytest.raises(DeliveryRefused):
        await sms_channel(far_http).send(message())
    assert [request.path for request in far_http.received] == ["/send"]


async def test_a_missing_secret_waits_and_names_itself(tmp_path: Any) -> None:
    from platform_core.settings import SecretFile

    (tmp_path / "url").touch()
    channel = sms_channel(None)
    channel._url = SecretFile(tmp_path / "url")
    with pytest.raises(ChannelNotConfigured, match="SMS_URL"):
        await channel.send(message())


async def test_the_gateways_password_is_rotated_without_a_restart(
    far_http: HttpServer, tmp_path: Any
) -> None:
    from platform_core.settings import SecretFile

    channel = sms_channel(far_http)
    channel._authorization = SecretFile(tmp_path / "authorization")
    for password in ("Bearer the first", "Bearer the second"):
        (tmp_path / "authorization").write_text(password)
        await channel.send(message())
    shown = [request.headers["authorization"] for request in far_http.received]
    assert shown == ["Bearer the first", "Bearer the second"]


def test_what_does_not_fit_into_a_push_loses_its_data_first() -> None:
    small = payload_of(message(kind="a.b", data={"task_id": "1"}))
    assert json.loads(small)["data"] == {"task_id": "1"}
    large = payload_of(message(subject="ß" * 500, text="ß" * 5000, data={"text": "x" * 5000}))
    assert len(large) <= MOST_PAYLOAD_BYTES
    assert json.loads(large)["data"] == {}


@pytest.mark.parametrize("character", ["\x01", "\\", "🦜"])
def test_a_push_fits_whatever_it_is_made_of(character: str) -> None:
    raw = payload_of(message(subject=character * 300, text=character * 3000, data={"text": "x" * 5000}))
    assert len(raw) <= MOST_PAYLOAD_BYTES
    assert json.loads(raw)["body"].startswith(character)


@pytest.mark.parametrize("said", [b'{"id": "a\\ud800b"}', b'{"id": null}', b'{"sid": ""}', b"[" * 60_000])
async def test_a_text_that_is_on_its_way_is_sent_whatever_the_gateway_says(
    far_http: HttpServer, said: bytes
) -> None:
    """What cannot be stored, or read, would have it sent again."""
    far_http.says = said
    sent = message()
    identifier = await sms_channel(far_http).send(sent)
    assert identifier in (str(sent.id), "a b")


def test_the_address_of_a_device_shows_nothing_to_the_log() -> None:
    now = SystemClock().now()
    device = Device(
        id=new_id(),
        created_at=now,
        updated_at=now,
        user_id=new_id(),
        endpoint="https://push.example.com/secret",
        p256dh="a",
        auth="b",
        name=None,
        place=0,
    )
    assert device.push_service == "push.example.com"


async def test_who_wants_texts_for_a_kind_gets_them_and_nobody_else_does(
    platform: PlatformFactory, far_http: HttpServer
) -> None:
    settings = {
        "PLATFORM_NOTIFICATION_SMS_URL": f"{far_http.origin}/send",
        "PLATFORM_NOTIFICATION_SMS_AUTHORIZATION": "Bearer gateway-password",
    }
    async with platform(MODULES, seed=essentials, settings=settings) as p:
        eve, ben = await sign_up(p, "eve"), await sign_up(p, "ben")
        for account in (eve, ben):
            await account.client.patch("/api/v1/users/me", json={"phone_number": "+49 30 123456"})
        url = "/api/v1/notifications/preferences"
        await ben.client.put(url, json={"channels": {"sms": True, "email": False}})
        kinds = {"notification.announcement": {"sms": True}}
        await eve.client.put(url, json={"channels": {"sms": True, "email": False}, "kinds": kinds})
        await announce(p, eve.id, ben.id, title="Fire drill")
        await p.deliver()
        [request] = far_http.received
        assert json.loads(request.body)["text"] == "Fire drill"
        [row] = await p.sql("SELECT channel, user_id, status, recipient FROM notification.email_logs")
        assert (row["channel"], row["user_id"], row["status"]) == ("sms", eve.id, "sent")
        tables = ("audit.audit_logs", "platform.deliveries", "notification.email_logs")
        everything = str([await p.sql(f"SELECT t::text FROM {table} t") for table in tables])
        assert "gateway-password" not in everything
