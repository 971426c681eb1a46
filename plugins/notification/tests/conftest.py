"""A real mail server whose answers a test writes down beforehand, and adapters that talk to it."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from ssl import SSLContext
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from pydantic import SecretStr

from notification.contracts import OutgoingMessage
from notification.infrastructure.smtp import SmtpChannel
from platform_core.domain import new_id

# test files share `far_side.py`
sys.path.append(str(Path(__file__).parent))


GREETING = "250 fine"


class HeldClock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


class MailServer:
    """
    An SMTP server on loopback.

    Attributes:
        script: answers to come, phase → replies; a number of seconds is a pause, what is not scripted is accepted.
        mails: what was accepted or refused after DATA, in order.
        accepted: those of them that were answered with 250.
        busiest: how many were being handed over at the same time, at most.
        is_encrypted: whether the latest was handed over inside TLS.
    """

    def __init__(self) -> None:
        self.script: dict[str, deque[str | float]] = {"MAIL": deque(), "RCPT": deque(), "DATA": deque()}
        self.mails: list[EmailMessage] = []
        self.accepted: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.busy = self.busiest = 0
        self.is_encrypted = False
        self.logins: list[tuple[str, str]] = []
        self._server: asyncio.Server | None = None
        self._connections: list[SMTP] = []

    def answer(self, phase: str, replies: Iterable[str | float]) -> None:
        self.script[phase].extend(replies)

    async def _next(self, phase: str) -> str | None:
        while self.script[phase]:
            reply = self.script[phase].popleft()
            if isinstance(reply, str):
                return reply
            await asyncio.sleep(reply)
        return None

    async def handle_MAIL(  # noqa: N802  # aiosmtpd calls it so
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = await self._next("MAIL")
        if reply is not None:
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return GREETING

    async def handle_RCPT(  # noqa: N802  # as above
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = await self._next("RCPT")
        if reply is not None:
            return reply
        envelope.rcpt_tos.append(address)
        self.recipients.append(address)
        return GREETING

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  # as above
        content = envelope.content
        assert isinstance(content, bytes)
        self.is_encrypted = server.transport.get_extra_info("ssl_object") is not None
        mail = message_from_bytes(content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            reply = await self._next("DATA")
        finally:
            self.busy -= 1
        if reply is None or reply.startswith("250"):
            self.accepted.append(mail)
        return reply or GREETING

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        name, password = data.login.decode(), data.password.decode()
        self.logins.append((name, password))
        return AuthResult(success=password == "right", handled=False)

    async def start(self, *, ssl: SSLContext | None = None, **options: Any) -> None:
        """Listen on a free port, with `ssl` encrypted from the first byte; options are aiosmtpd's."""

        def protocol() -> SMTP:
            connection = SMTP(
                self,
                hostname="mail.test",
                loop=asyncio.get_running_loop(),
                authenticator=self.authenticate,
                auth_require_tls=False,
                **options,
            )
            self._connections.append(connection)
            return connection

        self._server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=ssl)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        tasks = [
            task for connection in self._connections if (task := connection._handler_coroutine) is not None
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in self._connections:
            if connection.transport is not None:
                connection.transport.abort()
        await self._server.wait_closed()
        await asyncio.sleep(0)
        self._server = None


@pytest.fixture
async def mail_server() -> AsyncIterator[MailServer]:
    server = MailServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
def smtp_channel(clock: HeldClock) -> Callable[..., SmtpChannel]:
    def make(url: str | None, *, connect_seconds: float = 5, send_seconds: float = 5) -> SmtpChannel:
        return SmtpChannel(
            url=None if url is None else SecretStr(url),
            sender=Address("Platform Core", "no-reply", "platform.example"),
            host="platform.example",
            clock=clock,
            connect_timeout_seconds=connect_seconds,
            send_timeout_seconds=send_seconds,
        )

    return make


@pytest.fixture
def outgoing() -> Callable[..., OutgoingMessage]:
    def make(**changes: Any) -> OutgoingMessage:
        values: dict[str, Any] = {
            "id": new_id(),
            "recipient": "maria@example.org",
            "recipient_name": "Maria Musterfrau",
            "subject": "Grüße",
            "text": "Guten Tag\n",
            "html": "<!doctype html><p>Guten Tag</p>",
            "locale": "de",
        }
        return OutgoingMessage(**(values | changes))

    return make


@pytest.fixture
async def far_http() -> AsyncIterator[Any]:
    from far_side import http_server  # found only now

    async with http_server() as server:
        yield server
