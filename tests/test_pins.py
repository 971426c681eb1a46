"""
The pins in `pyproject.toml` and in `constraints.txt` are the same and leave no dependency out.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECTS = [ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]


def load(project: Path) -> dict[str, Any]:
    return tomllib.loads(project.read_text())


def pins_for_uv() -> list[str]:
    return load(ROOT / "pyproject.toml")["tool"]["uv"]["constraint-dependencies"]


def pins_for_pip() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def direct_dependencies(project: Path) -> list[Requirement]:
    data = load(project)
    extras = data["project"].get("optional-dependencies", {}).values()
    groups = data.get("dependency-groups", {}).values()
    lists = [data["project"]["dependencies"], *extras, *groups]
    found = [Requirement(line) for listed in lists for line in listed if isinstance(line, str)]
    return [requirement for requirement in found if not requirement.name.startswith("platform-")]


def test_uv_and_pip_are_given_the_same_pins() -> None:
    assert pins_for_uv() == pins_for_pip()


def test_every_pin_is_one_exact_version_without_an_address() -> None:
    for line in pins_for_pip():
        requirement = Requirement(line)
        assert requirement.url is None, line
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], line


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.parent.name)
def test_every_direct_dependency_is_pinned_within_its_declared_bounds(project: Path) -> None:
    pinned: dict[str, set[str]] = {}
    for pin in map(Requirement, pins_for_pip()):
        version = next(iter(pin.specifier)).version
        pinned.setdefault(canonicalize_name(pin.name), set()).add(version)
    for requirement in direct_dependencies(project):
        versions = pinned.get(canonicalize_name(requirement.name), set())
        assert versions, f"{requirement.name} is not pinned: uv run nox -s pin -- --keep"
        assert all(map(requirement.specifier.contains, versions)), f"{requirement}: pinned to {versions}"


def test_the_tree_carries_no_lock_file_with_addresses() -> None:
    assert re.search(r"^uv\.lock$", (ROOT / ".gitignore").read_text(), re.M)
