"""`platform modules surface`: an author writes down what others build on, and hears of what would break them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import CommandLine


def test_a_modules_surface_is_written_and_what_would_break_somebody_is_named_and_not_written(
    cli: CommandLine, tmp_path: Path
) -> None:
    first = cli("modules", "surface", "posts")
    assert first.code == 0, first.err
    file = tmp_path / "surface.json"
    written = json.loads(file.read_text(encoding="utf-8"))
    assert list(written["versions"]) == ["posts"]
    assert "GET /api/v1/posts/{post_id}" in written["stable"]["posts"]["http"]

    written["stable"]["posts"]["http"]["GET /api/v1/posts/old"] = {"": "posts.old"}
    file.write_text(json.dumps(written), encoding="utf-8")
    broken = cli("modules", "surface", "posts")
    assert broken.code == 1
    assert "posts, http: GET /api/v1/posts/old is gone, or no longer stable" in broken.err
    assert "raise posts to version 0.2.0" in broken.err
    assert json.loads(file.read_text(encoding="utf-8")) == written

    del written["stable"]["posts"]["http"]["GET /api/v1/posts/old"]
    del written["stable"]["posts"]["http"]["GET /api/v1/posts/{post_id}"]
    file.write_text(json.dumps(written), encoding="utf-8")
    grown = cli("modules", "surface", "posts", "--check")
    assert (grown.code, "breaks nobody" in grown.err) == (1, True)
    assert cli("modules", "surface", "posts").code == 0
    assert cli("modules", "surface", "posts", "--check").out.startswith(
        "surface.json is what the code says: "
    )


def test_who_is_not_there_has_no_surface(cli: CommandLine) -> None:
    told = cli("modules", "surface", "nobody")
    assert told.code == 1
    assert "nobody does not start, so nothing can be said of it: it is not installed" in told.err
