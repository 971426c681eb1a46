"""The channel `sms`: a gateway that takes text messages as JSON over HTTP, as nearly all of them do."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from notification.contracts import ChannelNotConfigured, DeliveryDeferred, DeliveryRefused, OutgoingMessage
from notification.domain import one_line
from platform_core.outbound import ForbiddenAddress, Outbound, OutboundAnswer, OutboundFailed

_LONGEST_TEXT: Final = 459
"""Three parts of 153 characters; nobody is billed for more."""

_CHECK_SECONDS: Final = 1.8
_NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_IDENTIFIERS: Final = ("id", "message_id", "messageId", "sid")


class SmsChannel:
    """
    Posts each message to the gateway.

    Args:
        url: of the gateway, the deployer's; None: not configured.
        authorization: the whole `Authorization` header: `Bearer …` or `Basic …`.
        sender: what the gateway shows as the sender.
        body: what is posted; `{id}`, `{to}`, `{from}` and `{text}` in its texts are filled in.
    """

    def __init__(
        self,
        *,
        url: SecretStr | None,
        authorization: SecretStr | None,
        sender: str,
        body: str,
        outbound: Outbound,
    ) -> None:
        self._url, self._authorization = url, authorization
        self._sender, self._body, self._outbound = sender, json.loads(body), outbound

    async def send(self, message: OutgoingMessage) -> str:
        url = self._gateway()
        number = re.sub(r"[\s()./-]", "", message.recipient)
        if not _NUMBER.fullmatch(number):
            raise DeliveryRefused("the profile's phone number is none such as +4930123456")
        text = one_line(message.text.strip() or message.subject, _LONGEST_TEXT)
        values = {"{id}": str(message.id), "{to}": number, "{from}": self._sender, "{text}": text}
        headers = {"Content-Type": "application/json", "Idempotency-Key": str(message.id)}
        try:
            if self._authorization is not None:
                headers["Authorization"] = self._authorization.get_secret_value()
            answer = await self._outbound.post(
                url, headers=headers, body=json.dumps(_filled(self._body, values)).encode(), is_trusted=True
            )
        except ForbiddenAddress as error:
            raise ChannelNotConfigured(f"not configured: PLATFORM_NOTIFICATION_SMS_URL: {error}") from error
        except (OutboundFailed, OSError) as error:
            raise DeliveryDeferred(f"the gateway cannot be asked: {error}") from error
        return _identifier(answer, str(message.id))

    async def check(self) -> None:
        parts = urlsplit(self._gateway())
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                port = parts.port or (443 if parts.scheme == "https" else 80)
                _, writer = await asyncio.open_connection(parts.hostname, port)
                writer.close()
        except (OSError, TimeoutError) as error:
            raise DeliveryDeferred(f"the gateway cannot be reached: {type(error).__name__}") from error

    def _gateway(self) -> str:
        if self._url is None:
            raise ChannelNotConfigured("not configured: PLATFORM_NOTIFICATION_SMS_URL is not set")
        try:
            return self._url.get_secret_value()
        except OSError as error:  # a mounted secret that is not there
            raise ChannelNotConfigured(f"not configured: PLATFORM_NOTIFICATION_SMS_URL {error}") from error


def _filled(template: Any, values: dict[str, str]) -> Any:
    if isinstance(template, dict):
        return {key: _filled(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [_filled(value, values) for value in template]
    if not isinstance(template, str):
        return template
    # at once, so that a text cannot name another place to be filled in
    return re.sub(r"\{(?:id|to|from|text)\}", lambda found: values[found[0]], template)


def _identifier(answer: OutboundAnswer, known: str) -> str:
    """Return the gateway's own identifier where it tells one; raise what its status means."""
    said = f"the gateway said {answer.status}"
    # what it says of our login is the deployer's mistake, and must not cost a message
    if answer.status in (401, 403, 408, 425, 429) or answer.status >= 500:
        raise DeliveryDeferred(said)
    if not 200 <= answer.status < 300:
        raise DeliveryRefused(f"{said}: {one_line(answer.body.decode(errors='replace'), 200)}")
    try:
        told = json.loads(answer.body)
    except (ValueError, RecursionError):  # whatever it says, the message is on its way
        return known
    named = [told.get(name) for name in _IDENTIFIERS] if isinstance(told, dict) else []
    return next((one_line(str(name), 200) for name in named if name), "") or known
