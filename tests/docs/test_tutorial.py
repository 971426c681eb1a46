"""The tutorial's changes fit the module that the template writes; `nox -s tutorial` walks through the whole page."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tutorial_page import blocks

from platform_core._modules import scaffold


def test_every_change_of_the_tutorial_fits_what_the_template_writes(tmp_path: Path) -> None:
    scaffold.create("blog", tmp_path, "full")
    changes = [block for block in blocks() if block.language == "diff"]
    assert len(changes) >= 5
    for change in changes:
        done = subprocess.run(
            ["git", "apply", "-"], input=change.text, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{change.text}\n{done.stderr}"
    for path in tmp_path.rglob("*.py"):
        compile(path.read_text(encoding="utf-8"), str(path), "exec")
