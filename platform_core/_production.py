"""
What production and staging refuse to start with: secrets that are none, settings for a desk; private to the kernel.

Every finding is reported at once, so that a deployer mends the configuration in one round.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from platform_core.errors import InvalidSettings
from platform_core.settings import KernelSettings

DEVELOPMENT_MARK: Final = "development-only"
"""Every secret that `platform dev` makes begins with this."""

_LEAST_BITS: Final = 80
"""32 random hexadecimal digits show about 115 bits, one in 10,000 of them below 96; patterns show far fewer."""

_EXAMPLES: Final = (
    "changeme",
    "change-me",
    "change_me",
    "changethis",
    "example",
    "insecure",
    "placeholder",
    "replace-me",
    "secret",
    "password",
    "passwort",
    "letmein",
    "qwerty",
    "0123456789",
    "123456789",
    "xxxx",
    "todo",
)
_DEFAULT_ACCOUNTS: Final = frozenset(
    {"postgres", "platform", "admin", "root", "guest", "test", "1234", "123456"}
)
_MAKE_ONE: Final = "make one with: python -c 'import secrets; print(secrets.token_urlsafe(48))'"


def problems(settings: KernelSettings, source: Mapping[str, str]) -> Iterator[InvalidSettings]:
    """
    Yield everything that must not be in production; nothing in development and test.

    Args:
        source: where the settings come from; a value is looked for in `NAME_FILE` too, and never repeated.
    """
    if not settings.is_production:
        return
    for problem, hint in (*_secrets(settings, source), *_addresses(settings, source), *_debugging(source)):
        yield InvalidSettings("platform", f"{problem} ({settings.environment} refuses this)", hint)


def weakness(secret: str) -> str | None:
    """Return why a text is no secret, or None: it is an example, a pattern, or says too little."""
    if DEVELOPMENT_MARK in secret:
        return "was made by `platform dev`"
    example = next((word for word in _EXAMPLES if word in secret.lower()), None)
    if example is not None:
        return f"looks like an example: it contains {example!r}"
    if _visible_bits(secret) < _LEAST_BITS:
        return "is too regular to be random"
    return None


def _visible_bits(text: str) -> float:
    """Estimate from below what a text can hold: by its letters' frequencies, and by how well it can be packed."""
    counts = Counter(text)
    entropy = -sum(n * math.log2(n / len(text)) for n in counts.values())
    packed = zlib.compress(text.encode(), level=9, wbits=-15)
    return min(entropy, 8.0 * len(packed))


Finding = tuple[str, str]


def _secrets(settings: KernelSettings, source: Mapping[str, str]) -> Iterator[Finding]:
    if (why := weakness(settings.secret_key.get_secret_value())) is not None:
        yield f"PLATFORM_SECRET_KEY {why}", _MAKE_ONE
    for name, value in _values(source):
        if DEVELOPMENT_MARK in value and name != "PLATFORM_SECRET_KEY":
            yield f"{name} was made by `platform dev`", "make one for this environment"
    if settings.admin_password is not None:
        password = settings.admin_password.get_secret_value()
        if len(password) < 8 or _is_default(password):
            hint = "choose a better one, or leave it out and run platform users create-admin"
            yield "PLATFORM_ADMIN_PASSWORD is one that everybody guesses", hint
    urls = {
        "DATABASE_URL": settings.database_url,
        "READ_DATABASE_URL": settings.read_database_url,
        "REDIS_URL": settings.redis_url,
        "SMTP_URL": settings.smtp_url,
    }
    for name, url in urls.items():
        given = urlsplit(url.get_secret_value()).password if url is not None else None
        if given and _is_default(unquote(given)):
            yield f"{name} has a password that everybody guesses", "give that account a random password"


def _addresses(settings: KernelSettings, source: Mapping[str, str]) -> Iterator[Finding]:
    if not source.get("PLATFORM_PUBLIC_URL"):
        yield (
            "PLATFORM_PUBLIC_URL is not set",
            "the address that clients use, for example https://api.example.com",
        )
    elif urlsplit(settings.public_url).scheme != "https":
        yield "PLATFORM_PUBLIC_URL is not https", "tokens and passwords would travel readable"
    if any("*" in host and not host.startswith("*.") for host in settings.allowed_hosts):
        yield (
            "PLATFORM_ALLOWED_HOSTS answers to every name",
            "list the host names of this deployment, separated by commas",
        )
    if "*" in settings.cors_origins:
        yield (
            "PLATFORM_CORS_ORIGINS lets every page call",
            "list the origins, separated by commas, or leave it out",
        )


def _debugging(source: Mapping[str, str]) -> Iterator[Finding]:
    if is_on(source.get("PLATFORM_DEBUG", "")):
        yield "PLATFORM_DEBUG is on", "unset it; use `--debug` for one command"


def is_on(value: str) -> bool:
    """Tell whether an environment variable's text means yes."""
    return value.strip().lower() in ("1", "true", "yes", "on")


def _is_default(password: str) -> bool:
    lowered = password.lower()
    return lowered in _DEFAULT_ACCOUNTS or any(word in lowered for word in _EXAMPLES)


def _values(source: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield every variable of ours with its text, that of a mounted file included."""
    for name, value in sorted(source.items()):
        if name.startswith("PLATFORM_") or name.endswith(("_URL", "_URL_FILE")):
            if name.endswith("_FILE"):
                path = Path(value)
                if path.is_file():
                    yield name, path.read_text(encoding="utf-8", errors="replace")
            else:
                yield name, value
