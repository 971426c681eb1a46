"""
Whether the Markdown pages hold together: every link leads somewhere, every example can be read.

D1  A relative link names a file or a folder of the repository.
D2  An anchor, on the same page or another, is the name of a heading there, as code hosts write it.
D3  A fenced block of Python, TOML, JSON or shell is one: it parses. That it also does what it says is the tests' part.
D4  A block below a comment `from FILE` is there in that file, line by line; `# …` stands for what is left out. Every
    block of Python and TOML in a how-to guide has one.
D5  A page below `docs/` has a place in the site: `nav` in zensical.toml.

The site's own builder says the like for what is below `docs/`; this goes for the READMEs too, and for
links between them.
"""

import ast
import itertools
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT: Final = Path(__file__).resolve().parents[1]
PATTERNS: Final = ("*.md", "docs/**/*.md", "plugins/*/*.md", "tests/samples/*/*.md")
PARSER: Final = MarkdownIt("commonmark").enable("table")

FROM: Final = re.compile(r"<!-- from (?P<path>\S+) -->")
BOUND: Final = ("python", "toml")

Finding = tuple[int, str]


def findings(page: Path, root: Path = ROOT) -> Iterator[Finding]:
    """
    Everything the rules say about one page, in line order.
    """
    line, said = 1, ""
    if page.is_relative_to(root / "docs") and (
        name := page.relative_to(root / "docs").as_posix()
    ) not in placed(root):
        yield line, f"D5 zensical.toml has no place for {name}"
    for token in PARSER.parse(page.read_text(encoding="utf-8")):
        line = token.map[0] + 1 if token.map else line
        if token.type == "fence":
            language = token.info.partition(" ")[0]
            if problem := unreadable(language, token.content):
                yield line, f"D3 {problem}"
            if problem := _untrue(token.content, language, said, page, root):
                yield line, f"D4 {problem}"
        said = token.content.strip() if token.type == "html_block" else ""
        for target in _targets(token):
            if problem := _broken(page, target, root):
                yield line, problem


def unreadable(language: str, text: str) -> str | None:
    """
    Why a fenced block is not what its language says, or None; a language without a parser here is never wrong.
    """
    parse = PARSERS.get(language)
    if parse is None:
        return None
    try:
        parse(text)
    except ValueError as error:  # what every one of the parsers raises, or a child of it
        return f"not {language}: {error}"
    return None


def _untrue(text: str, language: str, said: str, page: Path, root: Path) -> str | None:
    """
    Why a block is not the piece of a file that the comment before it names, or None.
    """
    source = FROM.fullmatch(said)
    if source is None:
        is_bound = language in BOUND and page.parent.name == "how-to"
        return "a guide's example is real code: name its file in a comment before it" if is_bound else None
    file = root / source["path"]
    if not file.is_file():
        return f"{source['path']} is not there"
    lines = _bare(file.read_text(encoding="utf-8"))
    for piece in re.split(r"^\s*# …$", text, flags=re.MULTILINE):
        if _bare(piece) not in lines:
            return f"{source['path']} does not say: {next(iter(piece.split(chr(10))), '')}"
    return None


def _bare(text: str) -> str:
    """
    The lines without indentation and without the empty ones, which an excerpt may have in other numbers.
    """
    return "\n".join(["", *(stripped for line in text.splitlines() if (stripped := line.strip())), ""])


@cache
def placed(root: Path) -> frozenset[str]:
    """
    The pages that the site leads to, by their paths below `docs/`.
    """
    site = root / "zensical.toml"
    return frozenset(
        _leaves(tomllib.loads(site.read_text(encoding="utf-8"))["project"]["nav"]) if site.is_file() else ()
    )


def _leaves(entry: object) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    for below in entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ():
        yield from _leaves(below)


def anchors(page: Path) -> set[str]:
    """
    The names by which a page's headings can be linked to; a heading that comes again gets a number.
    """
    found: set[str] = set()
    tokens = PARSER.parse(page.read_text(encoding="utf-8"))
    for token, inline in itertools.pairwise(tokens):
        if token.type != "heading_open":
            continue
        words = "".join(child.content for child in inline.children or ())
        slug = re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
        number = next(n for n in range(len(tokens)) if (f"{slug}-{n}" if n else slug) not in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found


def pages(root: Path = ROOT) -> list[Path]:
    """
    The pages that are checked.
    """
    return sorted({page for pattern in PATTERNS for page in root.glob(pattern)})


def _targets(token: Token) -> Iterator[str]:
    for child in token.children or ():
        target = child.attrGet("href") if child.type == "link_open" else child.attrGet("src")
        if isinstance(target, str):
            yield target


def _broken(page: Path, target: str, root: Path) -> str | None:
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return None
    path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not path.exists() or not path.is_relative_to(root):
        return f"D1 {target} leads nowhere"
    if parts.fragment and path.suffix == ".md" and unquote(parts.fragment) not in anchors(path):
        return f"D2 {target}: {path.relative_to(root)} has no such heading"
    return None


def _python(text: str) -> None:
    try:
        ast.parse(text)
    except SyntaxError as error:
        raise ValueError(f"{error.msg}, its line {error.lineno}") from error


def _shell(text: str) -> None:
    read = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    if read.returncode:
        raise ValueError(read.stderr.strip())


PARSERS: Final[Mapping[str, Callable[[str], object]]] = {
    "json": json.loads,
    "python": _python,
    "shell": _shell,
    "toml": tomllib.loads,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Print every finding as `file:line: rule`; exit code 1 when there is one.
    """
    wanted = [Path(argument).resolve() for argument in arguments] if arguments else pages()
    lines = [f"{page.relative_to(ROOT)}:{line}: {text}" for page in wanted for line, text in findings(page)]
    print("\n".join(lines) or f"documents: {len(wanted)} pages, nothing found")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
