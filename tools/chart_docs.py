"""
Write `helm/platform/README.md`: the values with their defaults and comments, from `values.yaml` itself.

    uv run python tools/chart_docs.py            write it
    uv run python tools/chart_docs.py --check    exit 1 when it is out of date
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CHART: Final = Path(__file__).parent.parent / "helm" / "platform"
MARK: Final = "<!-- values: written by tools/chart_docs.py from values.yaml -->"
KEY: Final = re.compile(r"(?P<indent> *)(?P<name>[A-Za-z_]+):(?: (?P<value>.*))?")


def main() -> int:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    path = CHART / "README.md"
    before = path.read_text(encoding="utf-8")
    head, _, _ = before.partition(MARK)
    after = "\n".join([head.rstrip(), "", MARK, "", "| value | default | what it is for |", "|---|---|---|"])
    after += "\n" + "\n".join(rows((CHART / "values.yaml").read_text(encoding="utf-8"))) + "\n"
    if before == after:
        return 0
    if check:
        print("out of date: helm/platform/README.md")
        return 1
    path.write_text(after, encoding="utf-8")
    print("written: helm/platform/README.md")
    return 0


def rows(values: str) -> Iterator[str]:
    """Yield a line of the table for each value that is set, with the comment above it."""
    above: list[str] = []
    comment: list[str] = []
    for line in values.splitlines():
        text = line.strip()
        if text.startswith("#"):
            comment.append(text.lstrip("# "))
            continue
        found = KEY.fullmatch(line.split(" #")[0].rstrip())
        if found is not None:
            del above[len(found["indent"]) // 2 :]
            above.append(found["name"])
            if found["value"] or comment:
                default = f"`{found['value']}`".replace("|", "\\|") if found["value"] else ""
                yield f"| `{'.'.join(above)}` | {default} | {' '.join(comment).replace('|', chr(92) + '|')} |"
        comment = []


if __name__ == "__main__":
    sys.exit(main())
