"""
Build the site of docs/ into build/docs/, so that it asks nobody else's servers for anything.

    uv run nox -s docs

The site's own script would fetch what draws diagrams from a foreign host. Here it lies beside the pages, fetched once
by npm, and only pages with diagrams load it. Without npm they show a diagram as the text that it was written as.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SITE: Final = Path(__file__).resolve().parent.parent / "build" / "docs"
DRAWS: Final = "@mermaid-js/tiny@11.17.2"
"""Mermaid without its rarer kinds of diagram."""

_SECONDS: Final = 60
"""Without a network npm would try for minutes."""

_SCRIPT: Final = "assets/javascripts/mermaid.js"
_DIAGRAM: Final = '<pre class="mermaid">'
_BASE: Final = re.compile(r'<script id="__config" type="application/json">(.+?)</script>')
_LOADED: Final = re.compile(
    r'<(?:script|img|iframe)\b[^>]*\bsrc="(?:https?:)?//[^"]+|<link\b[^>]*\bhref="http[^"]+'
)
_NAMED: Final = re.compile(r'rel="(?:canonical|alternate)"')


def main() -> int:
    """Build it; 1 when a page would load something from elsewhere."""
    subprocess.run(["zensical", "build", "--clean", "--strict"], check=True)
    pages = sorted(SITE.rglob("*.html"))
    can_draw = fetch(SITE / _SCRIPT)
    drawn = sum(draw(page, can_draw=can_draw) for page in pages)
    print(
        f"{len(pages)} pages, {drawn} with diagrams"
        + ("" if can_draw else ", left as text: npm is missing, or did not get it")
    )
    wrong = [f"{page.relative_to(SITE)} loads {found}" for page in pages for found in foreign(page)]
    print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


def fetch(target: Path) -> bool:
    """Put what draws diagrams where the pages look for it; False where npm is missing, or does not get it."""
    npm = shutil.which("npm")
    if npm is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", DRAWS]
        try:
            subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True, timeout=_SECONDS)
        except subprocess.SubprocessError:
            return False
        [archive_path] = Path(folder).glob("*.tgz")
        with tarfile.open(archive_path) as archive:
            archive.extract("package/dist/mermaid.tiny.js", folder, filter="data")
        shutil.copyfile(Path(folder) / "package" / "dist" / "mermaid.tiny.js", target)
    return True


def draw(page: Path, *, can_draw: bool) -> bool:
    """Let a page draw its diagrams by the site's own script, or leave them as text; False where it has none."""
    text = page.read_text(encoding="utf-8")
    if _DIAGRAM not in text:
        return False
    if can_draw:
        [config] = _BASE.findall(text)
        script = f'<script src="{json.loads(config)["base"]}/{_SCRIPT}"></script>\n'
        text = text.replace('<script id="__config"', f'{script}<script id="__config"')
    else:
        text = text.replace(_DIAGRAM, "<pre>")
    page.write_text(text, encoding="utf-8")
    return True


def foreign(page: Path) -> Iterator[str]:
    """Yield what a page would load from another host by itself; links that people follow are no such thing."""
    for found in _LOADED.finditer(page.read_text(encoding="utf-8")):
        if not _NAMED.search(found[0]):
            yield found[0]


if __name__ == "__main__":
    sys.exit(main())
