"""Settings of user management, read by the kernel from `PLATFORM_USER_MANAGEMENT_…`."""

from __future__ import annotations

import os
import re
from typing import Annotated, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

_PEM: Final = re.compile(r"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----", re.DOTALL)
_KEY_MAKER: Final = "openssl genpkey -algorithm ed25519"


def _long_enough(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < 32:
        raise ValueError(
            "is shorter than 32 characters; make one with: python -c 'import secrets; print(secrets.token_urlsafe(48))'"
        )
    return secret


def private_key(setting: SecretStr) -> Ed25519PrivateKey:
    """
    Read the one private key of a setting.

    Raises:
        ValueError: it holds none, several, or one of another kind.
    """
    blocks = _pem_blocks(setting)
    key = _private_key(blocks[0]) if len(blocks) == 1 else None
    if key is None:
        raise ValueError(f"is not one Ed25519 private key in PEM; make one with: {_KEY_MAKER}")
    return key


def public_keys(setting: SecretStr) -> list[Ed25519PublicKey]:
    """
    Read the keys of a setting, private ones too, as what they verify with.

    Raises:
        ValueError: one is of another kind.
    """
    keys = [_public_key(block) for block in _pem_blocks(setting)]
    known = [key for key in keys if key is not None]
    if not keys or len(known) < len(keys):
        raise ValueError("holds something that is no Ed25519 key in PEM")
    return known


def _private_key(block: bytes) -> Ed25519PrivateKey | None:
    try:
        key = load_pem_private_key(block, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, Ed25519PrivateKey) else None


def _public_key(block: bytes) -> Ed25519PublicKey | None:
    if b"PRIVATE" in block:
        private = _private_key(block)
        return private.public_key() if private else None
    try:
        key = load_pem_public_key(block)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, Ed25519PublicKey) else None


def _pem_blocks(setting: SecretStr) -> list[bytes]:
    # environments of one line write line ends out
    return [found[0].encode() for found in _PEM.finditer(setting.get_secret_value().replace("\\n", "\n"))]


def _checked_private(setting: SecretStr) -> SecretStr:
    private_key(setting)
    return setting


def _checked_public(setting: SecretStr) -> SecretStr:
    public_keys(setting)
    return setting


def _page_path(path: str) -> str:
    if not path.startswith("/") or path.startswith("//"):
        raise ValueError("is no path such as /reset-password")
    return path


PagePath = Annotated[str, AfterValidator(_page_path)]


class UserManagementSettings(BaseModel):
    """What a deployer decides about accounts and logins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    password_pepper: Annotated[SecretStr, AfterValidator(_long_enough)] = Field(
        description="At least 32 random characters mixed into every password; whoever loses it loses every password.",
        json_schema_extra={"development": "secret"},
    )
    signing_key: Annotated[SecretStr, AfterValidator(_checked_private)] = Field(
        description="Ed25519 private key, PEM, that signs access tokens: openssl genpkey -algorithm ed25519",
        json_schema_extra={"development": "ed25519"},
    )
    previous_keys: Annotated[SecretStr, AfterValidator(_checked_public)] | None = Field(
        None,
        description="PEM keys, one after the other, that signed before; tokens of theirs are believed until they end.",
    )
    issuer: str | None = Field(
        None, max_length=200, description="`iss` of access tokens; PLATFORM_PUBLIC_URL when not given."
    )
    audience: str | None = Field(
        None, max_length=200, description="`aud` of access tokens, checked too; none by default."
    )
    access_token_minutes: float = Field(15, gt=0, le=60, description="How long an access token is believed.")
    clock_leeway_seconds: float = Field(
        5, ge=0, le=30, description="How far the clocks of two machines may differ."
    )
    session_days: float = Field(7, gt=0, le=366, description="A login ends after this, however busy it is.")
    session_idle_minutes: float | None = Field(
        None,
        ge=30,
        description="A login ends when its tokens were not refreshed for so long; not at all by default.",
    )
    refresh_grace_seconds: float = Field(
        10,
        ge=0,
        le=60,
        description="A spent refresh token that comes again so soon is a race, later a theft.",
    )
    bcrypt_cost: int = Field(
        12, ge=4, le=16, description="2^cost rounds per password; below 12 only for tests."
    )
    hash_concurrency: int = Field(
        default_factory=lambda: max(1, os.cpu_count() or 1),
        ge=1,
        le=64,
        description="Passwords hashed at once, per process; as many as there are processors.",
    )
    hash_queue: int = Field(
        64, ge=0, le=10_000, description="Passwords that may wait for hashing; 429 beyond."
    )
    verification_hours: float = Field(
        48, gt=0, le=24 * 30, description="How long the link to prove an e-mail address works."
    )
    password_reset_minutes: float = Field(
        60, gt=0, le=60, description="How long the link for a new password works."
    )
    invitation_days: float = Field(
        7, gt=0, le=30, description="How long an invited user may wait with the first password."
    )
    mails_per_hour: int = Field(
        5, ge=1, le=100, description="Mails of one kind with a link that one account gets at most."
    )
    verify_email_page: PagePath = Field(
        "/verify-email", description="Page below PLATFORM_PUBLIC_URL that takes `?token=`."
    )
    reset_password_page: PagePath = Field(
        "/reset-password", description="Page below PLATFORM_PUBLIC_URL that takes `?token=`."
    )
