"""
The published surface of all that is shipped here: what others build on, written down in `docs/reference/surface.json`.

    uv run python tools/surface.py            write what was added; refuses what would break somebody
    uv run python tools/surface.py --check    exit 1 when the file is not what the code says, with what to do

`tools/reference.py` does the same before it writes its pages. What is promised of each kind, and when it may change,
says docs/compatibility.md; authors of other modules have `platform modules surface`.
"""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent))

import reference  # the path is made above

from platform_core._surface import Surface, broken, hasty, kept, surface_of, text_of
from platform_core._surface.part import KERNEL
from platform_core.app import Kernel
from platform_core.cli import _plugins
from platform_core.cli._root import root
from platform_core.cli._session import assembled_environment
from platform_core.settings import read_settings

REPOSITORY: Final = Path(__file__).parent.parent
FILE: Final = REPOSITORY / "docs" / "reference" / "surface.json"


def surface() -> Surface:
    """Return the surface as the code has it now."""
    source = {
        "PLATFORM_ENV": "development",
        "PLATFORM_MODULES": ",".join(reference.SHIPPED),
        "PLATFORM_STARTUP_TIMEOUT_SECONDS": "300",  # a busy machine must not leave a module out
    }
    source = assembled_environment() | source
    kernel = Kernel.load(read_settings(source), source)
    return surface_of(kernel, (KERNEL, *reference.SHIPPED), root(), _plugins.owners())


def run(*, check: bool) -> int:
    """Write or check the file; 1 where something would break, or the file is not what the code says."""
    before, now = kept(FILE), surface()
    today = date.today()  # noqa: DTZ011  # a day of the calendar, not an instant
    problems = [*broken(before, now, today), *hasty(now)]
    if problems:
        print("This breaks what others build on:", *problems, sep="\n  ")
        return 1
    if text_of(before) == text_of(now):
        return 0
    if check:
        print(
            "The surface has grown, or changed where it may: run `uv run python tools/reference.py`, and commit."
        )
        return 1
    FILE.write_text(text_of(now), encoding="utf-8")
    print(f"written: {FILE.name}")
    return 0


def main() -> int:
    """Write or check the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true")
    return run(check=parser.parse_args().check)


if __name__ == "__main__":
    sys.exit(main())
