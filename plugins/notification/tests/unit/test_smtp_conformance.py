"""E-mail keeps the promises of a channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from notification.infrastructure.smtp import SmtpChannel
from notification.testing import ChannelConformance


class SmtpFarSide:
    """A scripted SMTP server as the far side of a channel."""

    address = "maria@example.org"

    def __init__(self, server: Any, make: Callable[..., SmtpChannel]) -> None:
        self._server, self._make = server, make

    def channel(self) -> SmtpChannel:
        return self._make(self._server.url)

    def unconfigured(self) -> SmtpChannel:
        return self._make(None)

    def defer_next(self) -> None:
        self._server.answer("DATA", ["421 4.3.2 shutting down"])

    def refuse_next(self) -> None:
        self._server.answer("RCPT", ["550 5.1.1 no such user"])

    async def disappear(self) -> None:
        await self._server.stop()

    def received(self) -> Sequence[str]:
        return [mail["Message-ID"] for mail in self._server.accepted]


class TestSmtp(ChannelConformance):
    @pytest.fixture
    def far_side(self, mail_server: Any, smtp_channel: Callable[..., SmtpChannel]) -> SmtpFarSide:
        return SmtpFarSide(mail_server, smtp_channel)
