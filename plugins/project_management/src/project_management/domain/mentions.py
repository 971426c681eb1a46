"""Who is meant by `@username` in a text."""

from __future__ import annotations

import re
from typing import Final

_MENTION: Final = re.compile(r"(?<![A-Za-z0-9._@/-])@([A-Za-z0-9._-]{3,33})")
"""Not in the middle of something, such as an e-mail address."""

MOST: Final = 50
"""Names that are looked at in one text; more is noise."""


def mentioned(text: str) -> list[str]:
    """
    Return the usernames, lower case, that a text may mention, in order, each once.

    What ends a sentence may belong to a name, too: `@ben.` is both `ben.` and `ben`.
    """
    found: dict[str, None] = {}
    for name in _MENTION.findall(text):
        found.setdefault(name.lower())
        found.setdefault(name.lower().rstrip("._-"))
    return [name for name in found if len(name) >= 3][:MOST]  # shorter than usernames are
