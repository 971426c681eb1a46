"""Purpose-bound secrets from the platform's one secret key."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr


class DerivedKeys:
    """
    `ports.Keys` by HKDF-SHA256 (RFC 5869).

    Args:
        secret: the platform's secret key; changing it voids links, cursors and stored answers, never passwords.
    """

    def __init__(self, secret: SecretStr) -> None:
        self._secret = secret
        self._known: dict[tuple[str, int], bytes] = {}

    def derive(self, purpose: str, size_bytes: int = 32) -> bytes:
        known = self._known.get((purpose, size_bytes))
        if known is None:
            kdf = HKDF(algorithm=hashes.SHA256(), length=size_bytes, salt=b"platform", info=purpose.encode())
            known = self._known[(purpose, size_bytes)] = kdf.derive(self._secret.get_secret_value().encode())
        return known
