"""
A mail server for development that delivers to nobody and shows what it got.

`platform dev` points `SMTP_URL` at it and serves `MailCatcher.app` beside the API. Imported by `cli` and by tests.
Every byte of a mail is hostile: pages escape all of it, HTML is shown only inside a frame without scripts, and a
mail that cannot be parsed is shown as the text it is.
"""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage, Message
from email.policy import default
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote
from weakref import WeakSet

from aiosmtpd.smtp import SMTP, Envelope, Session
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

__all__ = ["Mail", "MailCatcher"]

R = TypeVar("R")

KEPT_COUNT: Final = 200
SIZE_LIMIT_BYTES: Final = 10 * 1024 * 1024
REFRESH_SECONDS: Final = 5

_ID_FORMAT: Final = "%Y%m%dT%H%M%S%fZ"
_FROM: Final = b"X-Envelope-From: "
_TO: Final = b"X-Envelope-To: "
_LINK: Final = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)\]]")
_HEADERS: Final = {
    # A frame with `srcdoc` inherits this: no script, no form that leaves, no remote image that tells of the reading.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Mail:
    """
    One mail as it came in, and what can be read of it.

    Attributes:
        id: the moment it came, to the microsecond: sorts by time and names the file.
        sender: of the envelope; the `From` header may say something else.
        recipients: of the envelope, hidden ones too.
        raw: envelope as `X-Envelope-…` headers, then every byte received.
        headers: as sent, decoded, in order.
        text: the plain part; the source if the mail cannot be parsed.
        html: the HTML part, never to be shown outside a sandbox.
        attachments: names and sizes in bytes.
    """

    id: str
    sender: str
    recipients: tuple[str, ...]
    raw: bytes = field(repr=False)
    headers: tuple[tuple[str, str], ...] = ()
    text: str | None = None
    html: str | None = None
    attachments: tuple[tuple[str, int], ...] = ()

    @property
    def received_at(self) -> datetime:
        return datetime.strptime(self.id, _ID_FORMAT).replace(tzinfo=UTC)

    def header(self, name: str) -> str:
        """Return the first header of this name, or nothing."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    @property
    def subject(self) -> str:
        return self.header("Subject")


class MailCatcher:
    """
    An SMTP server on loopback that keeps the last 200 mails, and the pages that show them.

    Runs in the caller's event loop. No login is asked for.

    Args:
        directory: where mails survive a restart, one `.eml` each; None keeps them in memory only.
        port: 0 takes a free one.
    """

    def __init__(self, directory: Path | None, port: int = 0) -> None:
        self._directory = directory
        self._port = port
        self._mails: dict[str, Mail] = {}  # in order of arrival
        self._last_id = ""
        self._server: asyncio.Server | None = None
        self._connections: WeakSet[SMTP] = WeakSet()
        self.app = Starlette(
            routes=[
                Route("/", self._list_page),
                Route("/clear", self._clear_page, methods=["POST"]),
                Route("/mails/{id}", self._mail_page),
                Route("/mails/{id}/raw.eml", self._raw),
                Route("/api/mails", self._api_list, methods=["GET"]),
                Route("/api/mails", self._api_clear, methods=["DELETE"]),
                Route("/api/mails/{id}", self._api_mail),
            ],
            exception_handlers={HTTPException: _problem},
        )

    async def start(self) -> None:
        """Read what an earlier run kept and begin to listen."""
        if self._directory:
            self._mails = await asyncio.to_thread(_load, self._directory)
            self._last_id = max(self._mails, default="")
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut off whoever is connected; mails stay readable."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            if connection.transport is not None:
                connection.transport.close()  # since 3.12 the next line waits for every client
        await self._server.wait_closed()
        self._server = None

    @property
    def url(self) -> str:
        """Return the address for `SMTP_URL`; there is one once it is started."""
        if not self._port:
            raise RuntimeError("The mail catcher has no address before start().")
        return f"smtp://127.0.0.1:{self._port}"

    @property
    def mails(self) -> tuple[Mail, ...]:
        """Return the kept mails, the newest first."""
        return tuple(reversed(self._mails.values()))

    async def clear(self) -> None:
        """Forget every mail, on disk too."""
        forgotten = list(self._mails)
        self._mails.clear()
        await self._remove_files(forgotten)

    # -- SMTP

    def _connect(self) -> SMTP:
        connection = SMTP(self, hostname="localhost", data_size_limit=SIZE_LIMIT_BYTES, enable_SMTPUTF8=True)
        self._connections.add(connection)
        return connection

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep one mail; called by aiosmtpd when a client has sent it completely."""
        content = envelope.original_content or b""
        head = (
            _FROM
            + _wire(envelope.mail_from or "")
            + b"\r\n"
            + _TO
            + _wire(", ".join(envelope.rcpt_tos))
            + b"\r\n"
        )
        mail = _parse(self._next_id(), head + content)
        if self._directory:
            await asyncio.to_thread(_save, self._directory, mail)
        self._mails[mail.id] = mail
        outdated = list(self._mails)[:-KEPT_COUNT]
        for id_ in outdated:
            del self._mails[id_]
        await self._remove_files(outdated)
        return "250 OK"

    def _next_id(self) -> str:
        """Return the present moment, or just after the last one if the clock was set back."""
        now = datetime.now(UTC)
        if self._last_id:
            last = datetime.strptime(self._last_id, _ID_FORMAT).replace(tzinfo=UTC)
            now = max(now, last + timedelta(microseconds=1))
        self._last_id = now.strftime(_ID_FORMAT)
        return self._last_id

    async def _remove_files(self, ids: Iterable[str]) -> None:
        if self._directory:
            for id_ in ids:
                path = self._directory / f"{id_}.eml"
                await asyncio.to_thread(path.unlink, missing_ok=True)

    # -- pages and JSON

    def _wanted(self, request: Request) -> Mail:
        try:
            return self._mails[request.path_params["id"]]
        except KeyError:
            raise HTTPException(404, "There is no such mail (any more).")

    async def _list_page(self, request: Request) -> Response:
        return _page("Mails", _list_body(request, self.mails), refresh=True)

    async def _mail_page(self, request: Request) -> Response:
        mail = self._wanted(request)
        return _page(mail.subject or "(no subject)", _mail_body(request, mail))

    async def _raw(self, request: Request) -> Response:
        mail = self._wanted(request)
        disposition = {"Content-Disposition": f'attachment; filename="{mail.id}.eml"'}
        return Response(mail.raw, media_type="message/rfc822", headers={**_HEADERS, **disposition})

    async def _clear_page(self, request: Request) -> Response:
        if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise HTTPException(403, "Another site may not clear the mails.")
        await self.clear()
        return RedirectResponse(_path(request, "/"), status_code=303, headers=_HEADERS)

    async def _api_list(self, _request: Request) -> Response:
        return JSONResponse({"items": [_summary(mail) for mail in self.mails]}, headers=_HEADERS)

    async def _api_mail(self, request: Request) -> Response:
        mail = self._wanted(request)
        details = {
            "headers": mail.headers,
            "text": mail.text,
            "html": mail.html,
            "attachments": [{"name": name, "size_bytes": size} for name, size in mail.attachments],
        }
        return JSONResponse({**_summary(mail), **details}, headers=_HEADERS)

    async def _api_clear(self, _request: Request) -> Response:
        await self.clear()
        return Response(status_code=204, headers=_HEADERS)


# --- Reading a mail -----------------------------------------------------------------------------------------


def _parse(id_: str, raw: bytes) -> Mail:
    """
    Read as much of a mail as it lets us.

    Raises:
        ValueError: it does not begin with the two lines that `handle_DATA` puts there.
    """
    sender, recipients, content = raw.split(b"\r\n", 2)
    message = _tolerant(lambda: message_from_bytes(content, _class=EmailMessage, policy=default))
    headers: tuple[tuple[str, str], ...] | None = None
    text = html_part = None
    attachments: tuple[tuple[str, int], ...] | None = None
    if message is not None:
        headers = _tolerant(lambda: tuple((_clean(key), _clean(value)) for key, value in message.items()))
        text = _tolerant(lambda: _body(message, "plain"))
        html_part = _tolerant(lambda: _body(message, "html"))
        attachments = _tolerant(lambda: tuple(_attachment(part) for part in message.iter_attachments()))
    if text is None and html_part is None:
        text = _clean(content.decode("utf-8", "replace"))
    return Mail(
        id=id_,
        sender=_clean(sender.removeprefix(_FROM).decode("utf-8", "replace")),
        recipients=tuple(_clean(recipients.removeprefix(_TO).decode("utf-8", "replace")).split(", ")),
        raw=raw,
        headers=headers or (),
        text=text,
        html=html_part,
        attachments=attachments or (),
    )


def _tolerant(read: Callable[[], R]) -> R | None:
    try:
        return read()
    except Exception:  # noqa: BLE001 - the parser trips over hostile mails in more ways than it documents
        return None


def _body(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body(preferencelist=(kind,))
    if part is None:
        return None
    try:
        content = part.get_content()
    except LookupError:  # a character set that does not exist
        content = bytes(part.get_payload(decode=True) or b"").decode("utf-8", "replace")
    return _clean(content).replace("\r\n", "\n")


def _wire(address: str) -> bytes:
    return address.encode("utf-8", "surrogateescape")


def _attachment(part: Message) -> tuple[str, int]:
    return _clean(part.get_filename() or "unnamed"), len(bytes(part.get_payload(decode=True) or b""))


def _clean(value: object) -> str:
    """Return text that can be encoded: undecodable bytes arrive as lone surrogates."""
    return str(value).encode("utf-8", "replace").decode()


def _load(directory: Path) -> dict[str, Mail]:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # mails carry links that log people in
    mails: dict[str, Mail] = {}
    for path in sorted(directory.glob("*.eml"))[-KEPT_COUNT:]:
        with suppress(ValueError, OSError):  # not one of ours
            datetime.strptime(path.stem, _ID_FORMAT)  # noqa: DTZ007 - only whether it is one
            mails[path.stem] = _parse(path.stem, path.read_bytes())
    return mails


def _save(directory: Path, mail: Mail) -> None:
    unfinished = directory / f"{mail.id}.part"
    unfinished.write_bytes(mail.raw)
    unfinished.rename(directory / f"{mail.id}.eml")


# --- Showing it ---------------------------------------------------------------------------------------------

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60646c; --line: #e0e1e6; --paper: #fcfcfd; --link: #0d5fbf }
@media (prefers-color-scheme: dark) {
  :root { --ink: #edeef0; --soft: #a3a9b3; --line: #33373d; --paper: #15171a; --link: #7cb8ff }
}
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
header { display: flex; gap: 1rem; align-items: baseline; justify-content: space-between; flex-wrap: wrap }
h1 { font-size: 1.35rem; margin: 0 0 1rem }
a { color: var(--link); text-decoration: none }
a:hover, a:focus-visible { text-decoration: underline }
table { width: 100%; border-collapse: collapse }
th, td { text-align: left; vertical-align: top; padding: .5rem .75rem .5rem 0; border-top: 1px solid var(--line) }
th, time, .soft { color: var(--soft); font-weight: 400 }
th { white-space: nowrap }
time { white-space: nowrap; font-variant-numeric: tabular-nums }
.list tr:hover { background: color-mix(in srgb, var(--link) 7%, transparent) }
.list td:nth-child(3) { width: 50%; font-weight: 600 }
button { font: inherit; color: inherit; background: none; border: 1px solid var(--line); border-radius: .4rem;
  padding: .2rem .8rem; cursor: pointer }
pre { white-space: pre-wrap; font: 14px/1.6 ui-monospace, monospace; margin: 1rem 0 }
iframe { width: 100%; height: 65vh; border: 1px solid var(--line); border-radius: .4rem; background: #fff;
  margin-top: 1rem; color-scheme: light }
summary { cursor: pointer; color: var(--soft); margin-top: 1rem }
@media (max-width: 40rem) { .list td:first-child { display: none } body { padding: 1rem } }
"""


def _page(title: str, body: str, *, refresh: bool = False, status: int = 200) -> HTMLResponse:
    again = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' if refresh else ""
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{again}<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>{body}</body></html>",
        status_code=status,
        headers=_HEADERS,
    )


def _list_body(request: Request, mails: Sequence[Mail]) -> str:
    if not mails:
        return '<h1>Mails</h1><p class="soft">None yet. Every mail the platform sends arrives here.</p>'
    rows = "".join(
        f"<tr><td>{_time(mail)}</td><td>{_people(mail)}</td>"
        f'<td><a href="{_path(request, f"/mails/{mail.id}")}">{_subject(mail)}</a></td></tr>'
        for mail in mails
    )
    clear = _path(request, "/clear")
    return (
        f'<header><h1>Mails <span class="soft">{len(mails)}</span></h1>'
        f'<form method="post" action="{clear}"><button>Delete all</button></form></header>'
        f'<table class="list"><tbody>{rows}</tbody></table>'
    )


def _mail_body(request: Request, mail: Mail) -> str:
    shown = [
        ("From", mail.header("From") or mail.sender),
        ("To", mail.header("To") or ", ".join(mail.recipients)),
    ]
    rows = "".join(_row(name, html.escape(value)) for name, value in shown) + _row("Received", _time(mail))
    if mail.attachments:
        names = (f"{html.escape(name)} ({size:,} bytes)" for name, size in mail.attachments)
        rows += _row("Attached", "<br>".join(names))
    envelope = [("Envelope from", mail.sender), ("Envelope to", ", ".join(mail.recipients))]
    details = "".join(
        _row(html.escape(name), html.escape(value)) for name, value in (*envelope, *mail.headers)
    )
    parts = [
        f'<header><a href="{_path(request, "/")}">← All mails</a>'
        f'<a href="{_path(request, f"/mails/{mail.id}/raw.eml")}">Source (.eml)</a></header>'
        f"<h1>{_subject(mail)}</h1><table><tbody>{rows}</tbody></table>"
        f"<details><summary>All headers</summary><table><tbody>{details}</tbody></table></details>"
    ]
    if mail.html is not None:
        # No scripts, no forms, an origin of its own; links open in a new tab, as in a mail program.
        source = html.escape(f'<base target="_blank">{mail.html}')
        allowed = "allow-popups allow-popups-to-escape-sandbox"
        parts.append(f'<iframe title="HTML part" sandbox="{allowed}" srcdoc="{source}"></iframe>')
    if mail.text is not None:
        folded = "" if mail.html is not None else " open"
        parts.append(
            f"<details{folded}><summary>Text part</summary><pre>{_linked(mail.text)}</pre></details>"
        )
    return "".join(parts)


def _row(name: str, value: str) -> str:
    return f"<tr><th>{name}</th><td>{value}</td></tr>"


def _time(mail: Mail) -> str:
    return f'<time datetime="{mail.received_at.isoformat()}">{mail.received_at:%Y-%m-%d %H:%M:%S} UTC</time>'


def _people(mail: Mail) -> str:
    return html.escape(", ".join(mail.recipients))


def _subject(mail: Mail) -> str:
    return html.escape(mail.subject) or '<span class="soft">(no subject)</span>'


def _path(request: Request, path: str) -> str:
    """Return a path without host: it works below a mount point, and a forged Host header goes nowhere."""
    return quote(f"{request.scope.get('root_path', '')}{path}")  # leaves nothing that HTML would need escaped


def _linked(text: str) -> str:
    """Escape text and turn web addresses into links."""
    parts: list[str] = []
    end = 0
    for match in _LINK.finditer(text):
        address = html.escape(match[0])
        parts += [
            html.escape(text[end : match.start()]),
            f'<a href="{address}" target="_blank" rel="noopener noreferrer">{address}</a>',
        ]
        end = match.end()
    return "".join([*parts, html.escape(text[end:])])


def _summary(mail: Mail) -> dict[str, Any]:
    return {
        "id": mail.id,
        "received_at": mail.received_at.isoformat(),
        "sender": mail.sender,
        "recipients": mail.recipients,
        "subject": mail.subject,
    }


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    if "/api/" in request.url.path:
        problem = {"status": error.status_code, "title": error.detail}
        return JSONResponse(
            problem, error.status_code, headers=_HEADERS, media_type="application/problem+json"
        )
    body = f'<h1>{html.escape(error.detail)}</h1><a href="{_path(request, "/")}">All mails</a>'
    return _page(error.detail, body, status=error.status_code)
