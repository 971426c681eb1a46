"""What docs/tutorial.md asks its readers to do, read from the page itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "tutorial.md"

_BLOCK = re.compile(
    r"^```(?P<language>\w+)\n(?P<text>.*?)^```\n(?:\n<!-- shows (?P<shows>.+?) -->\n)?", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """
    One thing to do.

    Attributes:
        language: `shell` is typed, `diff` is edited; others are only looked at.
        shows: what has to be seen afterwards, as a comment below the block says.
    """

    language: str
    text: str
    shows: str | None

    @property
    def stays(self) -> bool:
        """Whether it goes on until the end, in a terminal of its own."""
        return "platform dev" in self.text


def blocks() -> Iterator[Block]:
    """Yield what there is to do, in order."""
    for found in _BLOCK.finditer(PAGE.read_text(encoding="utf-8")):
        yield Block(found["language"], found["text"], found["shows"])
