"""
E-mail by SMTP: one connection per mail, bounded in time, "not now" and "never" told apart.

Until the server is ready for a mail everything that goes wrong is "not now", a refused login included: that is the
deployer's mistake and must not cost a mail. From MAIL on, 4xx is "not now" and 5xx is "never".
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import SecretStr

from notification.contracts import ChannelNotConfigured, DeliveryDeferred, DeliveryRefused, OutgoingMessage
from notification.domain import one_line
from platform_core.ports import Clock
from platform_core.tracing import client_span

if TYPE_CHECKING:
    import aiosmtplib  # at run time with the first mail: an API process starts without it

__all__ = ["SmtpChannel", "SmtpServer", "mail_host"]

_CHECK_SECONDS: Final = 1.8
"""A little less than the health check itself may take, so that the reason is told and not only the time-out."""

_AUTHENTICATION_REQUIRED: Final = 530
"""The one 5xx during a mail that is the deployer's mistake."""

_ADDRESS: Final = re.compile(r"([^\s<>()\[\]:;,@\\\"]{1,64})@([^\s<>()\[\]:;,@\\\"]{1,253})")
"""One plain address: what would need quotes is refused, so that nothing can end it early."""

_SHAPE: Final = "SMTP_URL looks like smtp://user:password@host:port or smtps://…"  # pragma: allowlist secret


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """
    Where mails are handed over, as `SMTP_URL` says it.

    Attributes:
        tls: encrypted from the first byte (`smtps://`).
        starttls: True: or nothing; None: if offered; False: never (`?starttls=required|auto|never`).
            With a password the default is `required`, so that nobody in between can talk us out of it.
    """

    host: str
    port: int
    tls: bool
    starttls: bool | None
    username: str | None
    password: str | None

    @classmethod
    def parse(cls, url: str) -> SmtpServer:
        """
        Read an address as the README shows it, `smtp://host:port?starttls=…` with or without a login, or `smtps://…`.

        Raises:
            ValueError: it is not that; the message never holds the password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError(_SHAPE) from None  # the original error may quote the password
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError(_SHAPE)
        tls = parts.scheme == "smtps"
        modes = {"required": True, "auto": None, "never": False}
        options = parse_qs(parts.query)
        wanted = options.get("starttls", ["never" if tls else "required" if parts.password else "auto"])[-1]
        if wanted not in modes or options.keys() - {"starttls"}:
            raise ValueError("SMTP_URL takes one option, starttls=required, auto or never")
        if tls and wanted != "never":
            raise ValueError("SMTP_URL: smtps:// is encrypted from the first byte; leave starttls away")
        return cls(
            host=parts.hostname,
            port=port or (465 if tls else 587 if parts.password else 25),
            tls=tls,
            starttls=modes[wanted],
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
        )


class SmtpChannel:
    """
    The channel `email`: one SMTP connection for each mail.

    Args:
        url: read anew for each connection, so that a password rotates without a restart; None: not configured.
        sender: name and address that mails come from.
        host: the right-hand side of `Message-ID`.
        connect_timeout_seconds: for connecting, encryption and login together.
        send_timeout_seconds: for handing over one mail.
    """

    def __init__(
        self,
        *,
        url: SecretStr | None,
        sender: Address,
        host: str,
        clock: Clock,
        connect_timeout_seconds: float,
        send_timeout_seconds: float,
    ) -> None:
        self._url, self._sender, self._host, self._clock = url, sender, host, clock
        self._connect_seconds, self._send_seconds = connect_timeout_seconds, send_timeout_seconds

    async def send(self, message: OutgoingMessage) -> str:
        server = self._server()
        try:
            mail = self.compose(message)
        except ValueError as error:
            raise DeliveryRefused(f"the mail cannot be written: {error}") from error
        with client_span("smtp notification", {"server.address": server.host}):
            await self._hand_over(mail, server)
        return str(mail["Message-ID"])

    async def _hand_over(self, mail: EmailMessage, server: SmtpServer) -> None:
        async with self._connected(server, self._connect_seconds) as client:
            with _translated("handing over", self._send_seconds):
                async with asyncio.timeout(self._send_seconds):
                    await client.send_message(mail)

    async def check(self) -> None:
        async with self._connected(self._server(), _CHECK_SECONDS, login=False) as client:
            with _translated("greeting", _CHECK_SECONDS):
                async with asyncio.timeout(_CHECK_SECONDS):
                    await client.noop()

    def compose(self, message: OutgoingMessage) -> EmailMessage:
        """
        Write the mail with its headers.

        Raises:
            ValueError: the recipient's address is none.
        """
        mail = EmailMessage(policy=SMTP_POLICY)
        mail["From"] = self._sender
        mail["To"] = _address(message.recipient_name, message.recipient)
        mail["Subject"] = one_line(message.subject, 200)
        mail["Date"] = format_datetime(self._clock.now())
        mail["Message-ID"] = f"<{message.id}@{self._host}>"
        # RFC 3834: holiday notes and other machines need not answer
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        if message.html is not None:
            mail.add_alternative(message.html, subtype="html")
        mail["Content-Language"] = message.locale  # setting the content takes such headers away
        return mail

    def _server(self) -> SmtpServer:
        if self._url is None:
            raise ChannelNotConfigured("not configured: SMTP_URL is not set")
        try:
            return SmtpServer.parse(self._url.get_secret_value())
        except (ValueError, OSError) as error:  # OSError: a mounted secret that is not there
            raise ChannelNotConfigured(f"not configured: {error}") from error

    @contextlib.asynccontextmanager
    async def _connected(
        self, server: SmtpServer, timeout_seconds: float, *, login: bool = True
    ) -> AsyncIterator[aiosmtplib.SMTP]:
        from aiosmtplib import SMTP

        client = SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.tls,
            start_tls=server.starttls,
            username=server.username if login else None,
            password=server.password if login else None,
            local_hostname=self._host,
            timeout=timeout_seconds,
        )
        try:
            with _translated("connecting", timeout_seconds, never_permanent=True):
                async with asyncio.timeout(timeout_seconds):
                    await client.connect()
                    await client.ehlo()
            yield client
        except BaseException:
            client.close()
            raise
        await _leave(client)


async def _leave(client: aiosmtplib.SMTP) -> None:
    """Say goodbye if that is quick; the mail is handed over by now, so nothing may be raised."""
    from aiosmtplib import SMTPException

    try:
        async with asyncio.timeout(1):
            await client.quit()
    except (SMTPException, OSError):
        client.close()


@contextlib.contextmanager
def _translated(doing: str, timeout_seconds: float, *, never_permanent: bool = False) -> Iterator[None]:
    from aiosmtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException

    try:
        yield
    except SMTPResponseException as error:
        raise _answered(error.code, error.message, never_permanent=never_permanent) from error
    except SMTPRecipientsRefused as error:
        first = error.recipients[0]
        raise _answered(first.code, first.message, never_permanent=never_permanent) from error
    except TimeoutError as error:
        raise DeliveryDeferred(f"{doing} took the mail server longer than {timeout_seconds:g} s") from error
    except OSError as error:
        raise DeliveryDeferred(_untrusted(error) or f"{doing} failed: {error}") from error
    except (SMTPException, ValueError) as error:
        failure = DeliveryDeferred if never_permanent else DeliveryRefused
        raise failure(f"{doing} is beyond the mail server: {error}") from error


def _untrusted(error: BaseException | None) -> str | None:
    """Return what is wrong with the server's certificate, if that is what stands behind the error."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    if error is None:
        return None
    return (
        f"the mail server's certificate is not trusted: {error.verify_message}; SMTP_URL has to name the host as the"
        " certificate does, and a certificate authority of your own belongs into the file that SSL_CERT_FILE names"
    )


def _answered(code: int, text: str, *, never_permanent: bool) -> DeliveryDeferred | DeliveryRefused:
    reason = f"the mail server said {code} {one_line(text, 300)}"
    permanent = 500 <= code < 600 and code != _AUTHENTICATION_REQUIRED and not never_permanent
    return DeliveryRefused(reason) if permanent else DeliveryDeferred(reason)


def _address(name: str, address: str) -> Address:
    """
    Make a recipient of an address, its domain in ASCII.

    Raises:
        ValueError: it is no address; line breaks and other headers in it are refused here.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or not address.isprintable():
        raise ValueError("the recipient's address is none")
    local, domain = match.groups()
    try:
        ascii_domain = domain.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ValueError("the recipient's domain is none") from error
    return Address(one_line(name, 80), local, ascii_domain)


def mail_host(public_url: str) -> str:
    """Return the host of the public address as mails can name it: a name, never a bare number."""
    host = urlsplit(public_url).hostname or "localhost"
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.encode("idna").decode("ascii")
    return "localhost"
