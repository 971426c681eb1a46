"""Markdown becomes HTML that harms nobody, whatever was written."""

from __future__ import annotations

import time
from html.parser import HTMLParser

import pytest

from posts.infrastructure.markdown import render

HARMLESS = {
    *("p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li", "pre", "hr"),
    *("table", "thead", "tbody", "tr", "th", "td", "a", "br", "code", "em", "s", "strong"),
}


class _Seen(HTMLParser):
    """Notes every element and attribute that a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.addresses: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        for name, value in attrs:
            self.attributes.add((tag, name))
            if name == "href":
                self.addresses.append(value or "")


@pytest.mark.parametrize(
    "body",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "![x](javascript:alert(1))",
        "![x](https://spy.example/pixel.png)",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "[x](vbscript:x)",
        "[x](&#106;avascript:alert(1))",
        '[x](https://a.example "\\" onmouseover=alert(1)")',
        '<https://a.example/"onclick=alert(1)>',
        "<a href='java\tscript:alert(1)'>x</a>",
        "<svg/onload=alert(1)>",
        "<iframe srcdoc='<script>alert(1)</script>'>",
        "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
        "```html\n<script>alert(1)</script>\n```",
        '```" onclick=alert(1)\nx\n```',
        "<!-- --!><script>alert(1)</script> -->",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "<style>body{display:none}</style>",
        "|a|\n|-|\n|<script>x</script>|",
    ],
)
def test_nothing_that_runs_comes_through(body: str) -> None:
    seen = _Seen(render(body).html)
    assert seen.elements <= HARMLESS
    assert {name for _, name in seen.attributes} <= {"href", "title", "rel", "start"}
    assert all(address.startswith(("https://", "http://", "mailto:")) for address in seen.addresses)


def test_what_people_use_is_there() -> None:
    html = render(
        "# Title\n\n*a* **b** ~~c~~ `d`\n\n1. x\n2. y\n\n> q\n\n|h|\n|-|\n|c|\n\n[l](https://a.example)\n\n---\n"
    ).html
    for part in (
        "<h1>Title</h1>",
        "<em>a</em>",
        "<strong>b</strong>",
        "<s>c</s>",
        "<code>d</code>",
        "<li>y</li>",
    ):
        assert part in html
    assert '<a href="https://a.example" rel="nofollow noopener noreferrer">l</a>' in html
    assert "<blockquote>" in html
    assert "<td>c</td>" in html


def test_an_excerpt_has_no_elements_even_if_it_is_taken_for_html() -> None:
    assert render("a <script>b</script> c <img src=x onerror=y> d < e > f").excerpt == "a b c d < e > f"
    assert _Seen(render("<scr<script>ipt>alert(1)</scr</script>ipt>").excerpt).elements <= {"scr"}


def test_an_excerpt_is_plain_and_ends_with_a_whole_word() -> None:
    assert render("# Maps\n\nHow *not*\nto `get` lost.").excerpt == "Maps How not to get lost."
    long = render("word " * 200).excerpt
    assert long.endswith("word…")
    assert len(long) <= 280
    assert len(render("x" * 1000).excerpt) == 280


@pytest.mark.parametrize(
    "body",
    [
        "[" * 50_000,
        "*" * 50_000,
        "> " * 25_000,
        "`" * 25_000 + "x" + "`" * 24_999,
        "[a](" * 12_500,
        "*a_ " * 12_500,
        "- " * 25_000,
        "|a" * 25_000,
        "<" * 50_000,
        "&#" * 25_000,
        "![" * 25_000 + "](" * 5,
        "\\" * 50_000,
    ],
    ids=lambda body: body[:6],
)
def test_no_text_of_the_longest_length_takes_long(body: str) -> None:
    began = time.process_time()
    render(body)
    assert time.process_time() - began < 5
