"""Mails over TLS, with a real server and certificates made for it: who is trusted, who is not, and what is said."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from notification.contracts import DeliveryDeferred, OutgoingMessage
from notification.infrastructure.smtp import SmtpChannel

Make = Callable[..., SmtpChannel]
Outgoing = Callable[..., OutgoingMessage]


def _certificate(directory: Path, *, host: str = "127.0.0.1", days: int = 1) -> Path:
    """Write a self-signed certificate and its key into one file; `days` below zero: it has expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        alternative = x509.DNSName(host)
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / f"{host}{days}.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
async def serve(mail_server: Any) -> AsyncIterator[Callable[..., Any]]:
    """Put the mail server behind a certificate and return its address: `smtps`, or `starttls` with a login."""

    async def start(certificate: Path, how: str) -> str:
        await mail_server.stop()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        if how == "smtps":
            await mail_server.start(ssl=context)
            return f"smtps://robot:right@127.0.0.1:{mail_server.port}"  # pragma: allowlist secret
        await mail_server.start(tls_context=context, require_starttls=True)
        return f"smtp://robot:right@127.0.0.1:{mail_server.port}"  # pragma: allowlist secret

    yield start
    await mail_server.stop()


@pytest.mark.parametrize("how", ["smtps", "starttls"])
async def test_a_trusted_server_gets_login_and_mail_encrypted(
    serve: Any,
    mail_server: Any,
    smtp_channel: Make,
    outgoing: Outgoing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    certificate = _certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    channel = smtp_channel(await serve(certificate, how))
    await channel.check()
    await channel.send(outgoing())
    assert len(mail_server.accepted) == 1
    assert mail_server.logins == [("robot", "right")]
    assert mail_server.is_encrypted


@pytest.mark.parametrize("how", ["smtps", "starttls"])
@pytest.mark.parametrize(
    ("known", "wrong", "said"),
    [
        (False, {}, "self-signed certificate"),
        (True, {"host": "other.example"}, "IP address mismatch"),
        (True, {"days": -1}, "certificate has expired"),
    ],
    ids=["of a stranger", "of another host", "expired"],
)
async def test_a_server_whose_certificate_is_not_trusted_gets_neither_login_nor_mail(
    serve: Any,
    mail_server: Any,
    smtp_channel: Make,
    outgoing: Outgoing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    known: bool,
    wrong: dict[str, Any],
    said: str,
) -> None:
    """Red when certificates are not checked (`validate_certs=False`)."""
    certificate = _certificate(tmp_path, **wrong)
    if known:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    channel = smtp_channel(await serve(certificate, how))
    reason = rf"certificate is not trusted: .*{said}.*; SMTP_URL has to name .* SSL_CERT_FILE"
    with pytest.raises(DeliveryDeferred, match=reason):
        await channel.send(outgoing())
    with pytest.raises(DeliveryDeferred, match=reason):  # and readiness says so too
        await channel.check()
    assert (mail_server.logins, mail_server.mails) == ([], [])
