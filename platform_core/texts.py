"""
What people may call things and write to each other: the one rule for every module; standard library only.

A name stands in lists, mails, headers and file dialogs, so it is one line in which every character is what it seems to
be. Other text may have several lines. Both have something to be seen.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from platform_core.errors import InvalidInput

__all__ = ["human_name", "human_text", "optional_text"]

_CONTROLS: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_DIRECTIONS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Turn the direction of writing, so that `gpj.exe` can look like a picture."""

_LAYOUT: Final = frozenset("\n\r\t")
_BLANKS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and signs for Unicode, and nothing for the eye."""


def human_name(text: str, field: str) -> str:
    """
    Return what something or somebody is called, without the space around it, letters and their accents joined (NFC).

    Joiners inside of a name stay: Persian and Hindi need them, and so do families of emoji.

    Args:
        field: of the request, for the refusal.

    Raises:
        InvalidInput: there is nothing to be seen in it, or it has line breaks, control or direction characters.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if any(letter in _DIRECTIONS or unicodedata.category(letter) in _CONTROLS for letter in name):
        raise InvalidInput.of(field, "holds line breaks or other control characters", "invalid_name")
    return _seen(name, field)


def human_text(text: str, field: str) -> str:
    """
    Return what somebody wrote, on one line or several, without the space around it.

    Args:
        field: of the request, for the refusal.

    Raises:
        InvalidInput: there is nothing to be seen in it, or it has control characters beside line breaks and tabs.
    """
    written = text.strip()
    if any(unicodedata.category(letter) == "Cc" and letter not in _LAYOUT for letter in written):
        raise InvalidInput.of(field, "holds control characters", "invalid_text")
    return _seen(written, field)


def optional_text(text: str | None, field: str) -> str | None:
    """Return `human_text` of what may be left out: None and the empty text stay what they are."""
    return human_text(text, field) if text else text


def _seen(text: str, field: str) -> str:
    if not any(_is_visible(letter) for letter in text):
        raise InvalidInput.of(field, "is empty", "empty")
    return text


def _is_visible(letter: str) -> bool:
    return letter not in _BLANKS and unicodedata.category(letter)[0] in "LNPS"
