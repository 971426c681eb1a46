"""
Web Push as browsers understand it: messages that only the device can read, from a sender that it knows.

Encryption is RFC 8291 over the content coding `aes128gcm` of RFC 8188; the sender's proof is VAPID, RFC 8292.
"""

from __future__ import annotations

import base64
import functools
import os
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

__all__ = ["MOST_PAYLOAD_BYTES", "base64url", "encrypt", "private_key", "public_key", "vapid_header"]

_RECORD_BYTES: Final = 4096
_SALT_BYTES: Final = 16
_OVERHEAD_BYTES: Final = 86 + 1 + 16
"""Header, delimiter and tag; RFC 8291, 4: everything together has at most 4,096 bytes."""

MOST_PAYLOAD_BYTES: Final = _RECORD_BYTES - _OVERHEAD_BYTES

_LIFETIME: Final = timedelta(hours=12)
"""RFC 8292, 2: at most a day."""


def encrypt(
    payload: bytes,
    device_key: bytes,
    auth: bytes,
    *,
    salt: bytes | None = None,
    sender: ec.EllipticCurvePrivateKey | None = None,
) -> bytes:
    """
    Encrypt one message for one device.

    Args:
        payload: at most `MOST_PAYLOAD_BYTES`.
        device_key: the subscription's `p256dh`, an uncompressed point.
        auth: the subscription's secret.
        salt, sender: made anew for each message; given only to compare with the example of the RFC.

    Raises:
        ValueError: the key is no point of the curve, or the payload is too long.
    """
    if len(payload) > MOST_PAYLOAD_BYTES:
        raise ValueError(f"a message has at most {MOST_PAYLOAD_BYTES} bytes")
    salt = salt or os.urandom(_SALT_BYTES)
    sender = sender or ec.generate_private_key(ec.SECP256R1())
    receiver = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), device_key)
    own_key = _point(sender.public_key())
    shared = sender.exchange(ec.ECDH(), receiver)
    keying = _derive(auth, shared, b"WebPush: info\0" + device_key + own_key, 32)
    key = _derive(salt, keying, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derive(salt, keying, b"Content-Encoding: nonce\0", 12)
    header = salt + _RECORD_BYTES.to_bytes(4, "big") + bytes([len(own_key)]) + own_key
    return header + AESGCM(key).encrypt(nonce, payload + b"\x02", None)


def vapid_header(endpoint: str, key: ec.EllipticCurvePrivateKey, contact: str, now: datetime) -> str:
    """
    Return the `Authorization` by which a push service knows who sends.

    Args:
        contact: `mailto:` or `https:` address of who answers for it.
    """
    parts = urlsplit(endpoint)
    claims = {
        "aud": f"{parts.scheme}://{parts.netloc}",
        "exp": int((now + _LIFETIME).timestamp()),
        "sub": contact,
    }
    return f"vapid t={jwt.encode(claims, key, algorithm='ES256')}, k={public_key(key)}"


@functools.lru_cache(maxsize=4)
def private_key(text: str) -> ec.EllipticCurvePrivateKey:
    """
    Read a VAPID key: PEM, or 32 bytes in base64url as most generators print it.

    Raises:
        ValueError: it is neither; the message never holds the key.
    """
    try:
        if "-----BEGIN" in text:
            key: object = load_pem_private_key(text.encode(), None)
        else:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            key = (
                ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256R1()) if len(raw) == 32 else None
            )
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("is no private key of the curve P-256, PEM or 32 bytes in base64url")
    return key


def public_key(key: ec.EllipticCurvePrivateKey) -> str:
    """Return the public half as browsers want it, base64url."""
    return base64url(_point(key.public_key()))


def base64url(raw: bytes) -> str:
    """Encode without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _derive(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)
