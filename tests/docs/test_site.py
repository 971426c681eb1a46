"""The site's pages load nothing from anybody else, and draw their diagrams all the same."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "tools"))

import site_of_docs as site  # the path is made above

CONFIG = '<script id="__config" type="application/json">{"base":"../.."}</script>'


def a_page(folder: Path, body: str) -> Path:
    page = folder / "index.html"
    page.write_text(f"<html><body>{body}{CONFIG}</body></html>", encoding="utf-8")
    return page


def test_a_page_with_a_diagram_draws_it_by_the_sites_own_script(tmp_path: Path) -> None:
    page = a_page(tmp_path, '<pre class="mermaid"><code>flowchart LR</code></pre>')
    assert site.draw(page, can_draw=True)
    text = page.read_text(encoding="utf-8")
    assert text.index('<script src="../../assets/javascripts/mermaid.js">') < text.index(CONFIG)
    assert '<pre class="mermaid">' in text


def test_where_nothing_can_draw_a_diagram_stays_text_and_the_theme_does_not_fetch_what_could(
    tmp_path: Path,
) -> None:
    page = a_page(tmp_path, '<pre class="mermaid"><code>flowchart LR</code></pre>')
    assert site.draw(page, can_draw=False)
    assert "mermaid" not in page.read_text(encoding="utf-8")
    assert not site.draw(a_page(tmp_path, "<p>No picture.</p>"), can_draw=True)


@pytest.mark.parametrize(("body", "count"), [
    ('<script src="https://cdn.example/a.js"></script>', 1),
    ('<link rel="stylesheet" href="https://fonts.example/a.css">', 1),
    ('<img alt="" src="//img.example/a.png">', 1),
    ('<script src="../a.js"></script><img src="a.svg"><link rel="stylesheet" href="../a.css">', 0),
    ('<a href="https://example.org/">read there</a><link rel="canonical" href="https://docs.example/">', 0),
])  # fmt: skip
def test_what_a_page_would_load_from_elsewhere_is_told(tmp_path: Path, body: str, count: int) -> None:
    assert len(list(site.foreign(a_page(tmp_path, body)))) == count
