"""`platform modules new`: what it writes, what it refuses, and how a module follows the template later."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from platform_core._modules import scaffold
from platform_core.errors import OperationError

if TYPE_CHECKING:
    from conftest import CommandLine


def test_a_new_module_has_one_of_everything_and_its_name_everywhere(cli: CommandLine, tmp_path: Path) -> None:
    written = cli("modules", "new", "reading_list", "--json").json["written"]
    folder = tmp_path / "platform-plugin-reading-list"
    assert sorted(written) == sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
    [revision] = folder.glob("src/reading_list/migrations/versions/*_reading_list_create_entries.py")
    assert 'revision = "reading_list_0001"' in revision.read_text()
    assert "class ReadingListSettings" in (folder / "src/reading_list/settings.py").read_text()
    assert 'PATH = "/api/v1/reading-list/entries"' in (folder / "tests/test_http.py").read_text()
    assert "${{ matrix.python }}" in (folder / ".github/workflows/ci.yml").read_text()
    for path in folder.rglob("*.py"):
        compile(path.read_text(encoding="utf-8"), str(path), "exec")


def test_a_new_module_says_what_to_do_next(cli: CommandLine) -> None:
    told = cli("modules", "new", "blog", "--minimal").out
    assert "cd platform-plugin-blog\n  pip install -e '.[testing]'" in told
    assert "/api/v1/blog" in told


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Blog", "small letters"),
        ("audit", "the platform itself is called that"),
        ("email", "Python itself uses that name"),
        ("class", "Python itself uses that name"),
        ("sqlalchemy", "an installed package is called that already"),
        ("user_management", "an installed package is called that already"),
    ],
)
def test_a_name_that_cannot_be_a_modules_is_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(OperationError, match=reason):
        scaffold.check_name(name)


def test_nothing_is_written_over_what_is_there(tmp_path: Path) -> None:
    scaffold.create("blog", tmp_path / "blog", "minimal")
    with pytest.raises(OperationError, match="is not empty"):
        scaffold.create("blog", tmp_path / "blog", "minimal")


def test_an_update_replaces_what_nobody_has_changed_and_keeps_what_somebody_has(
    cli: CommandLine, tmp_path: Path
) -> None:
    folder = tmp_path / "platform-plugin-blog"
    scaffold.create("blog", folder, "minimal")
    notes = scaffold.Notes.read(folder)
    older = {path: f"# as an older release had it\n{text}" for path, text in scaffold.rendered(notes).items()}
    changed, untouched, deleted, new = "README.md", "pyproject.toml", ".gitignore", "tests/test_http.py"
    for path, text in older.items():
        (folder / path).write_text(text, encoding="utf-8")
    (folder / changed).write_text("# Mine\n", encoding="utf-8")
    (folder / deleted).unlink()
    (folder / new).unlink()
    scaffold.Notes(
        notes.name,
        notes.kind,
        notes.timestamp,
        "0.0.1",
        {path: scaffold.digest(text) for path, text in older.items() if path != new},
    ).write(folder)

    told = cli("modules", "new", "blog", "--update", "--json").json
    rendered = scaffold.rendered(notes)
    assert told["beside"] == [changed]
    assert {untouched, new} <= set(told["written"])
    assert (folder / untouched).read_text() == rendered[untouched]
    assert (folder / changed).read_text() == "# Mine\n"
    assert (folder / f"{changed}.new").read_text() == rendered[changed]
    assert not (folder / deleted).exists()
    assert cli("modules", "new", "blog", "--update").out == "Nothing to do: the template has not changed.\n"


def test_what_was_not_made_from_the_template_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="was not made by `platform modules new`"):
        scaffold.update(tmp_path)
