"""`platform docs`: what is installed, as files and as a page; nothing has to run for it."""

from __future__ import annotations

import html
import importlib.util
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import fromstring

import httpx2
import pytest
from markdown_it import MarkdownIt

from platform_core._documentation import Handbook, Site, handbook_of, page
from platform_core._documentation.files import _text, texts
from platform_core.app import Kernel
from platform_core.settings import read_settings
from platform_core.testing import PluginSource, plugins_installed

if TYPE_CHECKING:
    from conftest import CommandLine

REPOSITORY = Path(__file__).parents[2]
NOWHERE = {
    "PLATFORM_ENV": "test",
    "DATABASE_URL": "postgresql:///nowhere",
    "REDIS_URL": "redis://nowhere",
    "PLATFORM_SECRET_KEY": "only-for-tests-and-long-enough-for-them",
}
NESTED = PluginSource(
    name="nested",
    manifest='title = "Nested"\npaths = ["/nested"]\nconsumes = ["elsewhere"]\n',
    files={
        "plugin.py": """
from fastapi import APIRouter
from platform_core import hookimpl

inner, outer = APIRouter(prefix="/inner"), APIRouter(prefix="/nested")

@inner.get("/{thing_id}")
async def read(thing_id: int) -> dict[str, str]:
    \"\"\"Show a thing.\"\"\"
    return {}

@inner.delete("/{thing_id}")
async def delete(thing_id: int) -> None:
    \"\"\"Take a thing away.\"\"\"

outer.include_router(inner)

@hookimpl
def register_routes():
    return [outer]
"""
    },
)
HOSTILE = PluginSource(
    name="hostile",
    manifest='title = "<script>alert(1)</script> \\"]\\n```\\n# %%{init}%%"\n'
    'paths = ["/hostile"]\ncapabilities = ["<b>|[x](javascript:y)"]\n',
    files={
        "plugin.py": """
from platform_core import hookimpl
from platform_core.declarations import Permission

@hookimpl
def register_permissions():
    return [Permission("hostile:read", "</script><img src=x onerror=alert(1)> `code` | [a](javascript:b)")]
"""
    },
)


class Elements(HTMLParser):
    """What a page has: every element with its attributes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Handbook:
    with plugins_installed(HOSTILE, into=tmp_path_factory.mktemp("hostile")):
        return handbook_of(Kernel.load(read_settings({**NOWHERE, "PLATFORM_MODULES": "hostile"}), {}))


@pytest.fixture(scope="module")
def nested(tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    with plugins_installed(NESTED, into=tmp_path_factory.mktemp("nested")):
        return Kernel.load(read_settings({**NOWHERE, "PLATFORM_MODULES": "nested"}), {})


def test_everything_is_written_and_every_link_leads_somewhere(cli: CommandLine, tmp_path: Path) -> None:
    told = cli("docs", "--output", str(tmp_path / "map")).out
    assert "index.html" in told
    folder = tmp_path / "map"
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"index.html", "README.md", "events.md", "permissions.md", "modules/notification.md"} <= written
    for picture in folder.glob("*.svg"):
        fromstring(picture.read_text(encoding="utf-8"))  # noqa: S314  # our own
    spec = importlib.util.spec_from_file_location("documents", REPOSITORY / "tools" / "documents.py")
    assert spec is not None
    assert spec.loader is not None
    documents = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(documents)
    pages = sorted(folder.rglob("*.md"))
    assert {page: found for page in pages if (found := list(documents.findings(page, folder)))} == {}

    text = (folder / "index.html").read_text(encoding="utf-8")
    elements = Elements(text).found
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [str(attributes["href"]) for tag, attributes in elements if tag == "a"]
    assert "#event-user_management.user_registered" in targets
    assert {target for target in targets if not target.startswith("#") or target[1:] not in ids} == set()
    # it needs no other host, and nothing in it is run or worn but what its own policy names
    assert not re.search(r"(?:src|href)=\"(?!#)", text)
    assert not [a for _, a in elements if "style" in a or any(name.startswith("on") for name in a)]


def test_a_module_has_a_canvas_with_what_it_declares(cli: CommandLine) -> None:
    handbook = cli("docs", "--json").json
    modules = {module["name"]: module for module in handbook["modules"]}
    users = modules["user_management"]
    assert users["purpose"].startswith("Accounts, sessions, roles and permissions")
    [register] = [route for route in users["routes"] if route["path"] == "/api/v1/users/register"]
    assert (register["method"], register["access"]) == ("POST", "public")
    assert "409 email-taken" in " ".join(register["refuses"])
    events = {event["name"]: event for event in users["publishes"]}
    registered = events["user_management.user_registered"]
    assert registered["fields"]["email"] == "str"
    assert ["notification", "notification.user_registered"] in registered["handlers"]
    hooks = {hook["name"]: hook for hook in handbook["hooks"]}
    assert hooks["notification_kinds"]["module"] == "notification"
    assert "project_management" in hooks["notification_kinds"]["implemented_by"]
    assert "register_routes" in [hook["name"] for hook in users["hooks_implemented"]]
    [onboarding] = [steps for name, steps in users["sagas"] if name == "user_management.onboarding@1"]
    assert onboarding, "the steps that others contribute belong to it"
    secrets = {setting["variable"]: setting["default"] for setting in users["settings"]}
    assert secrets["PLATFORM_USER_MANAGEMENT_SIGNING_KEY"] == "required"


def test_routes_of_a_router_within_a_router_are_shown_and_counted(nested: Kernel) -> None:
    [canvas] = [module for module in handbook_of(nested).modules if module.name == "nested"]
    assert canvas.error is None
    path = "/api/v1/nested/inner/{thing_id}"
    assert {(route.method, route.path) for route in canvas.routes} == {("GET", path), ("DELETE", path)}
    assert nested.declared["nested"].contributions["routes"] == 2


def test_a_neighbour_that_is_not_installed_is_named_and_linked_to_nothing(nested: Kernel) -> None:
    handbook = handbook_of(nested)
    shown = page(handbook)
    assert "<code>elsewhere</code> (not installed) is listened to" in shown
    assert "#module-elsewhere" not in shown
    written = texts(handbook)["modules/nested.md"]
    assert "elsewhere (not installed)" in written
    assert "elsewhere.md" not in written


def test_what_a_module_calls_itself_stays_text(hostile: Handbook) -> None:
    elements = Elements(page(hostile)).found
    assert [tag for tag, _ in elements].count("script") == 1
    assert not [tag for tag, attributes in elements if tag in ("img", "iframe") or "onerror" in attributes]
    written = texts(hostile)
    for name, text in written.items():
        if name.endswith(".svg"):
            assert "script" not in {element.tag.rpartition("}")[2] for element in fromstring(text).iter()}  # noqa: S314
        if name.endswith(".md"):
            prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
            assert not re.search(r"(?<!\\)<(?:script|img|b)\b", prose), name
            assert "](javascript" not in prose.replace("\\]", ""), name


@pytest.mark.parametrize(
    "words",
    [
        "- no list",
        "+ nor this",
        "1. nor a numbered one",
        "2) nor this",
        "---",
        "~~still true~~, R&amp;D &copy; <b>bold</b> `code` *so* _so_ [here](there) # no heading",
        "see https://example.org/a_b and www.example.org",
    ],
)
def test_words_of_a_module_are_shown_as_they_are(words: str) -> None:
    line = _text(words)
    assert MarkdownIt("commonmark").enable("strikethrough").render(line) == f"<p>{html.escape(words)}</p>\n"
    assert not re.search(r"://|www\.", line), "GitHub would make a link of it"


def test_a_drawing_says_what_a_module_calls_itself_and_does_not_become_it(hostile: Handbook) -> None:
    for name, text in texts(hostile).items():
        if not name.endswith(".md"):
            continue
        drawings = re.findall(r"^```mermaid\n(.*?)\n```$", text, re.DOTALL | re.MULTILINE)
        assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(drawings), name
        for line in "\n".join(drawings).splitlines():
            assert line.count('"') in (0, 2), line
            assert not re.search(r"<(?!/?b>|br/>)|%%", line), line


async def test_an_open_page_hears_of_a_newer_one(hostile: Handbook) -> None:
    app = Site(hostile).app
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://map") as client:
        shown, build = await client.get("/"), (await client.get("/build")).text
    assert f'<meta name="build" content="{build}">' in shown.text
    assert "frame-ancestors 'none'" in shown.headers["Content-Security-Policy"]
    assert Site(hostile).build == build, "a start that changes nothing reloads nothing"
