"""Handing mails to a real SMTP server whose answers are written down beforehand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from notification.contracts import (
    ChannelNotConfigured,
    DeliveryDeferred,
    DeliveryRefused,
    OutgoingMessage,
)
from notification.infrastructure.smtp import SmtpChannel, SmtpServer, mail_host
from platform_core.settings import SecretFile

Make = Callable[..., SmtpChannel]
Outgoing = Callable[..., OutgoingMessage]


async def test_a_mail_has_text_html_and_a_stable_message_id(
    mail_server: Any, smtp_channel: Make, outgoing: Outgoing
) -> None:
    channel, message = smtp_channel(mail_server.url), outgoing()
    first = await channel.send(message)
    second = await channel.send(message)
    assert first == second == f"<{message.id}@platform.example>"
    mail = mail_server.accepted[0]
    assert [mail["Message-ID"], mail["Subject"]] == [first, "Grüße"]
    assert mail["From"] == "Platform Core <no-reply@platform.example>"
    assert mail["To"] == "Maria Musterfrau <maria@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]


@pytest.mark.parametrize("phase", ["MAIL", "RCPT", "DATA"])
async def test_not_now_is_told_apart_from_never(
    mail_server: Any, smtp_channel: Make, outgoing: Outgoing, phase: str
) -> None:
    mail_server.answer(phase, ["451 4.7.1 greylisted", "550 5.1.1 no such user"])
    channel = smtp_channel(mail_server.url)
    with pytest.raises(DeliveryDeferred, match=r"451 4\.7\.1 greylisted"):
        await channel.send(outgoing())
    with pytest.raises(DeliveryRefused, match=r"550 5\.1\.1 no such user"):
        await channel.send(outgoing())
    await channel.send(outgoing())
    assert len(mail_server.accepted) == 1


async def test_a_server_that_asks_for_a_login_is_the_deployers_mistake_and_costs_no_mail(
    mail_server: Any, smtp_channel: Make, outgoing: Outgoing
) -> None:
    mail_server.answer("MAIL", ["530 5.7.0 authentication required"])
    with pytest.raises(DeliveryDeferred):
        await smtp_channel(mail_server.url).send(outgoing())


async def test_a_refused_login_costs_no_mail(
    mail_server: Any, smtp_channel: Make, outgoing: Outgoing
) -> None:
    url = f"smtp://robot:{{}}@127.0.0.1:{mail_server.port}?starttls=never"
    with pytest.raises(DeliveryDeferred, match="535"):
        await smtp_channel(url.format("wrong")).send(outgoing())
    await smtp_channel(url.format("right")).send(outgoing())
    assert mail_server.logins[-1] == ("robot", "right")


async def test_a_password_is_never_sent_in_the_clear_unless_told_so(
    mail_server: Any, smtp_channel: Make, outgoing: Outgoing
) -> None:
    with pytest.raises(DeliveryDeferred):
        await smtp_channel(mail_server.url.replace("//", "//robot:right@")).send(outgoing())
    assert mail_server.logins == []


@pytest.mark.parametrize("phase", ["MAIL", "DATA"])
async def test_a_slow_server_is_left_after_the_time_out(
    mail_server: Any, smtp_channel: Make, outgoing: Outgoing, phase: str
) -> None:
    mail_server.answer(phase, [30.0])
    started = time.monotonic()
    with pytest.raises(DeliveryDeferred, match=r"longer than 0\.3 s"):
        await smtp_channel(mail_server.url, send_seconds=0.3).send(outgoing())
    assert time.monotonic() - started < 15


async def test_a_server_that_never_greets_is_left_after_the_time_out(
    smtp_channel: Make, outgoing: Outgoing
) -> None:
    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(DeliveryDeferred, match=r"0\.3 s|server ready"):
            await smtp_channel(f"smtp://127.0.0.1:{port}", connect_seconds=0.3).send(outgoing())
        await left.wait()


async def test_a_server_that_is_away_defers_the_mail(smtp_channel: Make, outgoing: Outgoing) -> None:
    with pytest.raises(DeliveryDeferred, match="connecting"):
        await smtp_channel("smtp://127.0.0.1:1").send(outgoing())


async def test_the_address_with_its_password_is_rotated_without_a_restart(
    mail_server: Any, smtp_channel: Make, outgoing: Outgoing, tmp_path: Path
) -> None:
    channel = smtp_channel(mail_server.url)
    channel._url = SecretFile(tmp_path / "url")
    (tmp_path / "url").write_text("smtp://127.0.0.1:1")
    with pytest.raises(DeliveryDeferred):
        await channel.send(outgoing())
    (tmp_path / "url").write_text(mail_server.url)
    await channel.send(outgoing())
    assert len(mail_server.accepted) == 1


async def test_without_a_server_a_mail_waits(smtp_channel: Make, outgoing: Outgoing) -> None:
    channel = smtp_channel(None)
    with pytest.raises(ChannelNotConfigured, match="SMTP_URL is not set"):
        await channel.send(outgoing())
    with pytest.raises(ChannelNotConfigured):
        await channel.check()


async def test_the_check_tells_whether_the_server_answers(mail_server: Any, smtp_channel: Make) -> None:
    channel = smtp_channel(mail_server.url)
    await channel.check()
    await mail_server.stop()
    with pytest.raises(DeliveryDeferred):
        await channel.check()


@pytest.mark.parametrize(
    "hostile",
    [
        {"subject": "Hi\r\nBcc: all@example.org"},
        {"recipient_name": "Maria\r\nBcc: all@example.org"},
        {"recipient_name": 'Maria" <evil@example.org>, "'},
        {"locale": "de"},
    ],
)
async def test_no_value_becomes_a_header(
    mail_server: Any, smtp_channel: Make, outgoing: Outgoing, hostile: dict[str, str]
) -> None:
    await smtp_channel(mail_server.url).send(outgoing(**hostile))
    mail = mail_server.accepted[0]
    assert mail["Bcc"] is None
    assert mail_server.recipients == ["maria@example.org"]
    assert len(mail["To"].addresses) == 1


@pytest.mark.parametrize(
    "address",
    [
        "maria@example.org\r\nBcc: all@example.org",
        "maria@example.org, all@example.org",
        "maria@example.org>\nX: 1",
        "no-address",
        "@example.org",
        "maria@",
        "maria @example.org",
    ],
)
async def test_what_is_no_single_address_is_refused_before_any_connection(
    smtp_channel: Make, outgoing: Outgoing, address: str
) -> None:
    with pytest.raises(DeliveryRefused):
        await smtp_channel("smtp://127.0.0.1:1").send(outgoing(recipient=address))


async def test_a_domain_in_another_script_is_written_in_ascii(
    mail_server: Any, smtp_channel: Make, outgoing: Outgoing
) -> None:
    await smtp_channel(mail_server.url).send(outgoing(recipient="maria@bücher.example"))
    assert mail_server.recipients == ["maria@xn--bcher-kva.example"]


async def test_a_local_part_in_another_script_needs_a_server_that_can(
    smtp_channel: Make, outgoing: Outgoing, mail_server: Any
) -> None:
    with pytest.raises(DeliveryRefused, match="SMTPUTF8"):
        await smtp_channel(mail_server.url).send(outgoing(recipient="jörg@example.org"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://localhost", SmtpServer("localhost", 25, False, None, None, None)),
        (
            "smtp://u:p%40ss@mail.example:2525",  # pragma: allowlist secret
            SmtpServer("mail.example", 2525, False, True, "u", "p@ss"),
        ),
        ("smtp://u:p@mail.example?starttls=auto", SmtpServer("mail.example", 587, False, None, "u", "p")),
        ("smtps://u:p@mail.example", SmtpServer("mail.example", 465, True, False, "u", "p")),
        ("smtp://[::1]:2525?starttls=never", SmtpServer("::1", 2525, False, False, None, None)),
    ],
)
def test_the_address_of_the_server_is_read(url: str, expected: SmtpServer) -> None:
    assert SmtpServer.parse(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://mail.example",
        "smtp://",
        "smtp://u:s3cret/x@mail.example",
        "smtp://u:p@mail.example:s3cret",
        "smtp://mail.example?starttls=maybe",
        "smtp://mail.example?verify=no",
        "smtps://mail.example?starttls=required",
    ],
)
def test_a_wrong_address_of_the_server_is_named_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="SMTP_URL") as refusal:
        SmtpServer.parse(url)
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://app.example:8443/x", "app.example"),
        ("http://127.0.0.1:8000", "localhost"),
        ("http://[::1]", "localhost"),
        ("https://bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_mails_name_the_public_host(url: str, host: str) -> None:
    assert mail_host(url) == host
