"""What people wrote, made fit for headers, titles and greetings."""

from __future__ import annotations

import re
from typing import Final

_CONTROL: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+"
)
_ADDRESS_LIKE: Final = re.compile(r"[:/@<>\[\]\\]|\w\.\w")


def one_line(text: str, longest: int) -> str:
    """Return at most `longest` characters without line breaks, control or direction characters, or lone surrogates."""
    return " ".join(_CONTROL.sub(" ", text).split())[:longest]


def greeting_name(full_name: str | None, username: str) -> str:
    """
    Return how a mail may address somebody; empty when neither name is fit for it.

    Anybody can register a stranger's address under a name like "You won: http://…", so what looks like a link or an
    address is not repeated in mails.
    """
    for name in (full_name, username):
        clean = one_line(name or "", 80)
        if clean and not _ADDRESS_LIKE.search(clean):
            return clean
    return ""
