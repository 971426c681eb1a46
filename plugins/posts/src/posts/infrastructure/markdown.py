"""
Markdown to HTML that may be shown to anybody.

Two fences: the parser makes no HTML of HTML (it is shown as the text that it is), and of what it makes only the
elements below are let through. Images are links: who shows a post should not tell a third party who reads it.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Final

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

from posts.application.ports import Rendered

_EXCERPT_LENGTH: Final = 280

_BLOCKS: Final = ("p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li", "pre", "hr")
_TABLES: Final = ("table", "thead", "tbody", "tr", "th", "td")
_INLINE: Final = ("a", "br", "code", "em", "s", "strong")
_ELEMENTS: Final = frozenset((*_BLOCKS, *_TABLES, *_INLINE))
_ATTRIBUTES: Final[Mapping[str, frozenset[str]]] = {
    "a": frozenset({"href", "title"}),
    "ol": frozenset({"start"}),
}
_SCHEMES: Final = frozenset({"http", "https", "mailto"})

_SPACE: Final = re.compile(r"\s+")
_ELEMENT: Final = re.compile(r"</?[a-zA-Z!][^<>]*>")


class MarkdownRenderer:
    """`Renderer` by CommonMark with tables and strikethrough; in a thread, because a long text takes its time."""

    async def render(self, body: str) -> Rendered:
        return await asyncio.to_thread(render, body)


def render(body: str) -> Rendered:
    """Render a text; the same text is always rendered alike."""
    tokens = _parser().parse(body)
    text = _SPACE.sub(" ", " ".join(_words(tokens))).strip()
    html = nh3.clean(
        _parser().renderer.render(tokens, _parser().options, {}),
        tags=set(_ELEMENTS),
        attributes={name: set(allowed) for name, allowed in _ATTRIBUTES.items()},
        url_schemes=set(_SCHEMES),
        link_rel="nofollow noopener noreferrer",
    )
    # plain text; but whoever shows it as HTML by mistake should do no harm
    excerpt = _SPACE.sub(" ", _ELEMENT.sub(" ", text)).strip()
    return Rendered(html=html, excerpt=_cut(excerpt), text=text)


@functools.cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": 20})
    return parser.enable(["table", "strikethrough"]).disable("image")


def _words(tokens: list[Token]) -> Iterator[str]:
    """Yield what is left to read without any marks; a block ends a word, what stands within a line need not."""
    for token in tokens:
        if token.type == "inline":
            yield "".join(
                " " if part.type in ("softbreak", "hardbreak") else part.content
                for part in token.children or ()
            )
        elif token.type in ("fence", "code_block"):
            yield token.content


def _cut(text: str) -> str:
    """Return the beginning, ending with a whole word where there are words."""
    if len(text) <= _EXCERPT_LENGTH:
        return text
    head = text[: _EXCERPT_LENGTH - 1]
    whole, space, _ = head.rpartition(" ")
    return f"{whole if space else head}…"
