"""The check of the Markdown pages finds what it promises to find, and finds nothing in the repository's own."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def documents() -> ModuleType:
    spec = importlib.util.spec_from_file_location("documents", REPOSITORY / "tools" / "documents.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_of_the_repository_holds_together(documents: ModuleType) -> None:
    pages = documents.pages()
    assert {"README.md", "docs/architecture.md", "plugins/notification/README.md"} <= {
        str(page.relative_to(REPOSITORY)) for page in pages
    }
    assert {page: found for page in pages if (found := list(documents.findings(page)))} == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[there](other.md)", None),
        ("[there](other.md#two-words--more)", None),
        ("[again](other.md#two-words--more-1)", None),
        ("[a folder](folder/)", None),
        ("[elsewhere](https://example.org/nowhere.md)", None),
        ("```toml\n[[links]]\n```", None),
        ("```mermaid\nflowchart LR\n```", None),
        ("[gone](gone.md)", "D1 gone.md leads nowhere"),
        ("![gone](gone.png)", "D1 gone.png leads nowhere"),
        ("| |\n|---|\n| [gone](gone.md) |", "D1 gone.md leads nowhere"),
        ("[out](../outside.md)", "D1 ../outside.md leads nowhere"),
        ("[there](other.md#three)", "D2 other.md#three: other.md has no such heading"),
        ("[here](#three)", "D2 #three: page.md has no such heading"),
        ("```python\ndef f(:\n```", "D3 not python: invalid syntax, its line 1"),
        ("```toml\na = \n```", "D3 not toml: "),
        ("```json\n{'a': 1}\n```", "D3 not json: "),
        ("```shell\nif true\n```", "D3 not shell: "),
    ],
)
def test_what_leads_nowhere_or_cannot_be_read_is_found(
    documents: ModuleType, tmp_path: Path, text: str, told: str | None
) -> None:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (tmp_path / "outside.md").touch()
    (root / "other.md").write_text("# `Two` words & more\n\n## Two words & more\n")
    page = root / "page.md"
    page.write_text(f"# Page\n\n{text}\n")

    found = list(documents.findings(page, root))

    if told is None:
        assert found == []
    else:
        ((line, problem),) = found
        assert line >= 3
        assert problem.startswith(told)


def test_a_page_that_the_site_does_not_lead_to_is_found(documents: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    (tmp_path / "zensical.toml").write_text(
        '[project]\nnav = ["one.md", { "Deep" = [{ "Two" = "deep/two.md" }] }]\n'
    )
    pages = [tmp_path / "docs" / name for name in ("one.md", "deep/two.md", "deep/three.md")]
    for page in pages:
        page.write_text("# Page\n")
    told = [problem for page in pages for _, problem in documents.findings(page, tmp_path)]
    assert told == ["D5 zensical.toml has no place for deep/three.md"]


def test_the_site_leads_to_pages_that_are_there(documents: ModuleType) -> None:
    assert [name for name in documents.placed(REPOSITORY) if not (REPOSITORY / "docs" / name).is_file()] == []


def test_an_example_that_is_not_in_the_file_it_names_is_found(documents: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "how-to").mkdir()
    (tmp_path / "code.py").write_text("def one():\n    first = 1\n    second = 2\n\n    return first\n")
    page = tmp_path / "how-to" / "page.md"

    def told(text: str) -> list[str]:
        page.write_text(f"# Page\n\n{text}\n")
        return [problem for _, problem in documents.findings(page, tmp_path)]

    assert told("<!-- from code.py -->\n```python\nfirst = 1\n# …\nreturn_ = 0\n```") != []
    assert told("<!-- from code.py -->\n```python\nfirst = 1\nsecond = 2\n```") == []
    assert told("```python\nfirst = 1\n```") == [
        "D4 a guide's example is real code: name its file in a comment before it"
    ]
    assert told("<!-- from gone.py -->\n```python\nfirst = 1\n```") == ["D4 gone.py is not there"]
