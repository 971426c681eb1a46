"""What the shipped modules may do to each other, what they depend on, and how things are called."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from platform_core._sagas import command_of
from platform_core._surface.published import PUBLISHED
from platform_core._wiring import Wiring
from platform_core.app import Kernel
from platform_core.settings import read_settings
from user_management.testing import settings_for_tests

ROOT = Path(__file__).parents[2]
PYPROJECTS = [ROOT / "pyproject.toml", *(ROOT / "plugins").glob("*/pyproject.toml")]
SHIPPED = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml"))


class Policy(NamedTuple):
    """What one module may ask others, whose events it may hear, whose commands its sagas may execute."""

    queries: frozenset[str]
    consumes: frozenset[str]
    sagas: frozenset[str] = frozenset()


POLICY: Mapping[str, Policy] = {
    "user_management": Policy(frozenset(), frozenset()),
    "notification": Policy(
        frozenset({"user_management"}),
        frozenset({"user_management", "file_management", "project_management"}),
    ),
    "file_management": Policy(frozenset({"user_management", "project_management"}), frozenset()),
    "project_management": Policy(frozenset({"user_management", "file_management"}), frozenset()),
    "courses": Policy(frozenset(), frozenset()),
    "orders": Policy(frozenset({"courses"}), frozenset(), frozenset({"courses"})),
    "posts": Policy(frozenset({"user_management"}), frozenset({"user_management"})),
}
"""The interaction matrix (`docs/architecture.md`); whoever changes it changes the design, not a test."""


class Wired(NamedTuple):
    """The shipped modules, assembled, and who was given what of whom."""

    kernel: Kernel
    asked: frozenset[tuple[str, str]]


@pytest.fixture(scope="module")
def wired() -> Wired:
    """Assemble the shipped modules, noting each service that one module gets of another; nothing is connected."""
    source = {
        "DATABASE_URL": "postgresql:///nowhere",
        "REDIS_URL": "redis://nowhere",
        "PLATFORM_ENV": "test",
        "PLATFORM_SECRET_KEY": "-" * 40,
        "PLATFORM_MODULES": ",".join(SHIPPED),
        **settings_for_tests(),
    }
    asked: set[tuple[str, str]] = set()
    check = Wiring._check_allowed

    def note(self: Wiring, module: str, owner: str, *rest: Any) -> None:
        check(self, module, owner, *rest)
        if "platform" not in (module, owner):
            asked.add((module, owner))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Wiring, "_check_allowed", note)
        kernel = Kernel.load(read_settings(source), source)
    assert not [plugin.error for plugin in kernel.plugins if plugin.error]
    return Wired(kernel, frozenset(asked))


# ── who may do what to whom ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("module", SHIPPED)
def test_a_manifest_asks_for_no_more_than_the_policy_gives(wired: Wired, module: str) -> None:
    [plugin] = [plugin for plugin in wired.kernel.plugins if plugin.name == module]
    assert module in POLICY, "a module that the policy does not know: decide what it may do first"
    assert set(plugin.manifest.queries) <= POLICY[module].queries
    assert set(plugin.manifest.consumes) <= POLICY[module].consumes
    assert set(plugin.manifest.sagas) <= POLICY[module].sagas


@pytest.mark.parametrize("module", SHIPPED)
def test_what_is_really_wired_is_what_the_manifest_says(wired: Wired, module: str) -> None:
    [plugin] = [plugin for plugin in wired.kernel.plugins if plugin.name == module]
    subscriptions = wired.kernel.declared[module].subscriptions
    heard = {subscription.event.wire_name.partition(".")[0] for subscription in subscriptions} - {module}
    assert {owner for asking, owner in wired.asked if asking == module} == set(plugin.manifest.queries)
    assert heard == set(plugin.manifest.consumes)
    steps = [step for saga in wired.kernel.declared[module].sagas for step in saga.steps]
    made = [command_of(make) for step in steps for make in (step.action, step.compensation) if make]
    acting = {command.__module__.partition(".")[0] for command in made if command} - {module}
    assert acting == set(plugin.manifest.sagas)


# ── what they depend on ──────────────────────────────────────────────────────────────────────────


class Project(NamedTuple):
    """A distribution of this workspace: its name, its import package, where its code is."""

    distribution: str
    package: str
    folder: Path


PROJECTS = [
    Project("platform-core", "platform_core", ROOT / "platform_core"),
    *(
        Project(f"platform-plugin-{name.replace('_', '-')}", name, ROOT / "plugins" / name / "src" / name)
        for name in SHIPPED
    ),
]


INSTALLED_AS_SOURCE = {project.package: [project.distribution] for project in PROJECTS}
"""The workspace's own packages, of which an editable installation lists no files."""

BROUGHT_ALONG = {"pydantic_core": ["pydantic"]}
"""Packages that another one requires in one exact version and documents as part of itself."""


def imported(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield every top-level package that some file imports, wherever in the file."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((alias.name.partition(".")[0], path) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield node.module.partition(".")[0], path


def declared(project: Project) -> set[str]:
    """Return what a distribution requires, its extras included."""
    [pyproject] = [path for path in PYPROJECTS if _table(path)["name"] == project.distribution]
    table = _table(pyproject)
    lists = [table["dependencies"], *table.get("optional-dependencies", {}).values()]
    return {canonicalize_name(Requirement(line).name) for lines in lists for line in lines}


def _table(pyproject: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    return table


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.package)
def test_whatever_is_imported_is_a_declared_dependency(project: Project) -> None:
    """A plugin may count on what the kernel brings: its hooks take and return things made of it."""
    offered = {**metadata.packages_distributions(), **INSTALLED_AS_SOURCE, **BROUGHT_ALONG}
    allowed = declared(project) | {project.distribution}
    if "platform-core" in allowed:
        allowed |= declared(PROJECTS[0])
    own = {project.package, "seeds", *sys.stdlib_module_names}
    undeclared = {
        f"{path.relative_to(project.folder)}: {name}"
        for name, path in imported(project.folder)
        if name not in own and not allowed & {canonicalize_name(found) for found in offered.get(name, [name])}
    }
    assert undeclared == set()


def test_shipped_modules_import_of_the_kernel_what_it_publishes_and_nothing_else() -> None:
    graph = grimp.build_graph("platform_core", *SHIPPED, cache_dir=None)
    internal = {
        f"{importer} imports {imported}"
        for importer in graph.modules
        if importer.partition(".")[0] in SHIPPED
        for imported in graph.find_modules_directly_imported_by(importer)
        if imported.partition(".")[0] == "platform_core" and imported not in PUBLISHED
    }
    assert internal == set()


# ── extension points and names ───────────────────────────────────────────────────────────────────


def test_no_hook_without_somebody_who_uses_it(wired: Wired) -> None:
    hooks = wired.kernel._hooks
    used = {
        name for plugin in wired.kernel.plugins for name in hooks._spec_owners if hasattr(plugin.module, name)
    }
    assert set(hooks._spec_owners) - used == set()


def test_no_module_is_called_after_nothing() -> None:
    nothing = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
    folders = ["platform_core", "plugins", "seeds", "alembic", "tools", "tests"]
    named = {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if nothing & {path.stem, path.parent.name}
    }
    assert named == set()
