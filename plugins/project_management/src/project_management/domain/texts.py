"""Names and titles as people type them."""

from __future__ import annotations

from platform_core.errors import InvalidInput


def named(text: str, field: str) -> str:
    """
    Return a name without the space around it.

    Raises:
        InvalidInput: nothing is left of it.
    """
    name = text.strip()
    if not name:
        raise InvalidInput.of(field, "is empty", "empty")
    return name
