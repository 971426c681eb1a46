"""The mail catcher: real SMTP in, pages and JSON out, and nothing of a hostile mail gets loose."""

import asyncio
import re
import smtplib
import sys
from collections.abc import AsyncIterator
from email import policy
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from platform_core import mailcatcher
from platform_core.dev import _catcher_class
from platform_core.errors import OperationError
from platform_core.mailcatcher import MailCatcher


@pytest.fixture
async def catcher(tmp_path: Path) -> AsyncIterator[MailCatcher]:
    started = MailCatcher(tmp_path / "mail")
    await started.start()
    yield started
    await started.stop()


@pytest.fixture
async def browser(catcher: MailCatcher) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=catcher.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://mails.test") as client:
        yield client


def mail(subject: str = "Welcome", text: str = "Hello Zoë", html: str | None = None) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Platform <platform@example.org>"
    message["To"] = "zoë@example.org"
    message["Subject"] = subject
    message.set_content(text)
    if html is not None:
        message.add_alternative(html, subtype="html")
    return message


async def send(catcher: MailCatcher, *messages: EmailMessage | bytes) -> None:
    address = urlsplit(catcher.url)

    def deliver() -> None:
        with smtplib.SMTP(address.hostname or "", address.port or 0, timeout=10) as client:
            for message in messages:
                content = message if isinstance(message, bytes) else message.as_bytes(policy=policy.SMTP)
                client.sendmail("bounce@example.org", ["zoe@example.org", "hidden@example.org"], content)

    await asyncio.to_thread(deliver)


async def test_a_mail_sent_is_there_with_its_envelope_and_parts(catcher: MailCatcher) -> None:
    await send(catcher, mail("Grüße", html="<p>Hello</p>"))
    (caught,) = catcher.mails
    assert caught.subject == "Grüße"
    assert caught.sender == "bounce@example.org"
    assert caught.recipients == ("zoe@example.org", "hidden@example.org")
    assert (caught.text, caught.html) == ("Hello Zoë\n", "<p>Hello</p>\n")
    assert not any(name.startswith("X-Envelope") for name, _ in caught.headers)


async def test_newest_comes_first_and_only_the_last_ones_are_kept(
    catcher: MailCatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailcatcher, "KEPT_COUNT", 3)
    await send(catcher, *(mail(f"number {n}") for n in range(5)))
    assert [caught.subject for caught in catcher.mails] == ["number 4", "number 3", "number 2"]
    assert len(list((tmp_path / "mail").iterdir())) == 3


async def test_mails_survive_a_restart(catcher: MailCatcher, tmp_path: Path) -> None:
    await send(catcher, mail("first", html="<b>x</b>"), mail("second"))
    await catcher.stop()
    (tmp_path / "mail" / "not ours.eml").write_text("a file of somebody else")
    again = MailCatcher(tmp_path / "mail")
    await again.start()
    assert again.mails == catcher.mails
    await send(again, mail("third"))
    assert [caught.subject for caught in again.mails] == ["third", "second", "first"]
    await again.stop()
    assert (tmp_path / "mail").stat().st_mode & 0o077 == 0


async def test_without_a_directory_mails_are_kept_in_memory_and_the_wanted_port_is_used() -> None:
    catcher = MailCatcher(None)
    with pytest.raises(RuntimeError, match="before start"):
        _ = catcher.url
    await catcher.start()
    await send(catcher, mail())
    await catcher.stop()
    again = MailCatcher(None, port=urlsplit(catcher.url).port or 0)
    await again.start()
    assert (again.url, again.mails, len(catcher.mails)) == (catcher.url, (), 1)
    await again.stop()


async def test_stopping_cuts_off_a_client_that_never_leaves(catcher: MailCatcher) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(catcher.url).port)
    assert (await reader.readline()).startswith(b"220")
    await asyncio.wait_for(catcher.stop(), timeout=3)
    assert await asyncio.wait_for(reader.read(), timeout=3) == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", urlsplit(catcher.url).port)


async def test_an_oversized_mail_is_refused(catcher: MailCatcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailcatcher, "SIZE_LIMIT_BYTES", 1000)
    with pytest.raises(smtplib.SMTPException):
        await send(catcher, mail(text="x" * 2000))
    assert catcher.mails == ()


async def test_the_json_tells_all_and_deletes_all(
    catcher: MailCatcher, browser: httpx2.AsyncClient, tmp_path: Path
) -> None:
    message = mail("With a file")
    message.add_attachment(b"12345", maintype="application", subtype="pdf", filename="bill.pdf")
    await send(catcher, message)
    (summary,) = (await browser.get("/api/mails")).json()["items"]
    assert summary["subject"] == "With a file"
    assert summary["recipients"] == ["zoe@example.org", "hidden@example.org"]
    details = (await browser.get(f"/api/mails/{summary['id']}")).json()
    assert details["attachments"] == [{"name": "bill.pdf", "size_bytes": 5}]
    assert ["Subject", "With a file"] in details["headers"]
    assert details["text"] == "Hello Zoë\n"
    assert (await browser.delete("/api/mails")).status_code == 204
    assert (await browser.get("/api/mails")).json() == {"items": []}
    assert not list((tmp_path / "mail").iterdir())
    missing = await browser.get(f"/api/mails/{summary['id']}")
    assert missing.status_code == 404
    assert missing.headers["content-type"] == "application/problem+json"


async def test_the_source_is_downloaded_byte_for_byte(
    catcher: MailCatcher, browser: httpx2.AsyncClient
) -> None:
    message = mail("Source")
    await send(catcher, message)
    answer = await browser.get(f"/mails/{catcher.mails[0].id}/raw.eml")
    assert answer.headers["content-type"] == "message/rfc822"
    assert answer.headers["content-disposition"].startswith("attachment")
    envelope = (
        b"X-Envelope-From: bounce@example.org\r\nX-Envelope-To: zoe@example.org, hidden@example.org\r\n"
    )
    assert answer.content == envelope + message.as_bytes(policy=policy.SMTP)


async def test_the_list_refreshes_itself_and_links_each_mail_below_a_mount_point(
    catcher: MailCatcher,
) -> None:
    outer = Starlette(routes=[Mount("/dev/mail", app=catcher.app)])
    transport = httpx2.ASGITransport(app=outer)
    async with httpx2.AsyncClient(transport=transport, base_url="http://mails.test") as browser:
        assert "None yet" in (await browser.get("/dev/mail/")).text
        await send(catcher, mail("Read me", text="see https://example.org/confirm?token=a&b=1."))
        page = (await browser.get("/dev/mail/")).text
        assert '<meta http-equiv="refresh"' in page
        links = re.findall(r'href="([^"]+)"', page)
        assert links == [f"/dev/mail/mails/{catcher.mails[0].id}"]
        shown = (await browser.get(links[0])).text
        assert 'href="https://example.org/confirm?token=a&amp;b=1"' in shown
        assert "refresh" not in shown
        for link in re.findall(r'href="(/[^"]+)"', shown):
            assert (await browser.get(link)).status_code == 200
        cleared = await browser.post("/dev/mail/clear")
        assert (cleared.status_code, cleared.headers["location"]) == (303, "/dev/mail/")
    assert catcher.mails == ()


async def test_another_site_may_not_clear_the_mails(
    catcher: MailCatcher, browser: httpx2.AsyncClient
) -> None:
    await send(catcher, mail())
    answer = await browser.post("/clear", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert len(catcher.mails) == 1


async def test_nothing_of_a_hostile_mail_leaves_its_quotes(
    catcher: MailCatcher, browser: httpx2.AsyncClient
) -> None:
    evil = "</iframe></pre></title><script>alert(1)</script>\"' onload=x srcdoc=y"
    message = mail(evil, text=f"{evil} https://example.org/\"onclick='x'", html=f"<p>{evil}</p>")
    message["X-Evil<script>"] = evil
    message.add_attachment(b"", maintype="text", subtype="html", filename=f"{evil}.html")
    await send(catcher, message)
    caught = catcher.mails[0]
    for path in ("/", f"/mails/{caught.id}"):
        answer = await browser.get(path)
        assert answer.status_code == 200
        assert "<script" not in answer.text
        assert "alert(1)" in answer.text
        allowed = answer.headers["content-security-policy"]
        assert "default-src 'none'" in allowed
        assert "script-src" not in allowed
        assert answer.headers["x-content-type-options"] == "nosniff"
    (frame,) = re.findall(r"<iframe[^>]*>", (await browser.get(f"/mails/{caught.id}")).text)
    assert re.fullmatch(
        r'<iframe title="HTML part" sandbox="allow-popups allow-popups-to-escape-sandbox" srcdoc="[^"]*">',
        frame,
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n\r\n",
        b"no header at all \xff\xfe\x00",
        b"Subject: =?utf-8?b?////?= \xff\r\n\r\n\xff\xfe",
        b"Content-Type: text/plain; charset=no-such-charset\r\n\r\nK\xc3\xa4se",
        b"Content-Type: multipart/mixed\r\n\r\n--nothing",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" * 300,
        b'Content-Type: text/html; charset="utf-8\r\nFrom: @@,;<>\r\nTo: =?x?y?z?=\r\nDate: never\r\n\r\n<p>',
        b"Content-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\n.",
        b"Subject: =?unicode_escape?q?=5Cud800?=\r\nContent-Type: text/plain; charset=unicode_escape\r\n\r\n\\ud800",
        b"X-Envelope-From: forged\r\nX-Envelope-To: forged\r\n\r\nforged",
    ],
)
async def test_a_broken_mail_is_shown_all_the_same(
    catcher: MailCatcher, browser: httpx2.AsyncClient, content: bytes
) -> None:
    await send(catcher, content)
    (caught,) = catcher.mails
    assert caught.sender == "bounce@example.org"
    for path in (
        "/",
        f"/mails/{caught.id}",
        f"/mails/{caught.id}/raw.eml",
        "/api/mails",
        f"/api/mails/{caught.id}",
    ):
        assert (await browser.get(path)).status_code == 200
    assert caught.text is not None or caught.html is not None


async def test_an_unknown_character_set_does_not_hide_the_text(catcher: MailCatcher) -> None:
    await send(catcher, "Content-Type: text/plain; charset=no-such\r\n\r\nKäse".encode())
    assert (catcher.mails[0].text or "").strip() == "Käse"


def test_without_its_library_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "platform_core.mailcatcher")
    monkeypatch.setitem(sys.modules, "aiosmtpd.smtp", None)
    with pytest.raises(OperationError, match=r"aiosmtpd.*missing.*platform-core\[embedded\]"):
        _catcher_class()
