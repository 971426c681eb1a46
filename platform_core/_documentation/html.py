"""HTML that is put together of elements, so that no text can become markup by accident."""

from __future__ import annotations

from html import escape
from typing import Final

_VOID: Final = frozenset({"br", "input", "meta"})


class Html(str):
    """Text that is markup already; every other text is escaped where it is put in."""

    __slots__ = ()


Child = str | None
"""What an element may hold: markup as it is, text escaped, nothing left out."""


def tag(element: str, /, *children: Child, **attributes: str | bool | None) -> Html:
    """
    Return one element.

    Args:
        attributes: an underscore at the end is dropped, others become hyphens; None and False leave one out.
    """
    given = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{element}{given}>" + ("" if element in _VOID else f"{join(*children)}</{element}>"))


def join(*children: Child) -> Html:
    """Return markup and text one after the other."""
    return Html(
        "".join(
            child if isinstance(child, Html) else escape(child) for child in children if child is not None
        )
    )
