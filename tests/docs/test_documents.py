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
