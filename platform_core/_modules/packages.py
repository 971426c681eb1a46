"""
Whether the Python packages that modules ask for are there, in versions that fit.

An installer checks that when it installs; here it is checked for what lies on the path now, however it got there:
wheels that are only being considered, `--no-deps`, two modules that were never installed together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from platform_core import ENTRY_POINT_GROUP
from platform_core._manifest import KERNEL
from platform_core._modules.findings import Area, Finding

_KERNEL_DISTRIBUTION = canonicalize_name("platform-core")


@dataclass(frozen=True, slots=True)
class _Wish:
    """What one distribution asks for, on behalf of a module."""

    module: str
    requirement: Requirement
    through: tuple[str, ...]

    @property
    def words(self) -> str:
        way = f" (through {' → '.join(self.through)})" if self.through else ""
        return f"{self.requirement.name} {self.requirement.specifier}".strip() + way


def missing_packages(allowed: Sequence[str] = ()) -> list[Finding]:
    """
    Return what modules ask for and do not get; nothing is imported.

    Neighbours are left out: whether modules fit each other is the kernel's own first question.

    Args:
        allowed: names of modules; empty means every one on the path.
    """
    on_path = _on_path()
    modules = dict(_modules(on_path.values(), allowed))
    wishes: dict[str, list[_Wish]] = {}
    for module, distribution in modules.items():
        for wish in _wishes(module, distribution, on_path, modules):
            wishes.setdefault(canonicalize_name(wish.requirement.name), []).append(wish)
    return [
        finding
        for name, asked in sorted(wishes.items())
        for finding in _unfulfilled(asked, on_path.get(name))
    ]


def _on_path() -> Mapping[str, Distribution]:
    """Return distributions by name; the first on the path is the one that is imported."""
    found: dict[str, Distribution] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name:
            found.setdefault(canonicalize_name(name), distribution)
    return found


def _modules(installed: Iterable[Distribution], allowed: Sequence[str]) -> Iterator[tuple[str, Distribution]]:
    for distribution in installed:
        if canonicalize_name(distribution.metadata["Name"]) == _KERNEL_DISTRIBUTION:
            yield KERNEL, distribution
        for entry_point in distribution.entry_points.select(group=ENTRY_POINT_GROUP):
            if not allowed or entry_point.name in allowed:
                yield entry_point.name, distribution


def _wishes(
    module: str,
    distribution: Distribution,
    on_path: Mapping[str, Distribution],
    modules: Mapping[str, Distribution],
) -> Iterator[_Wish]:
    """Yield everything that one module asks for, what its packages ask for included."""
    neighbours = {canonicalize_name(d.metadata["Name"]) for d in modules.values()} | {_KERNEL_DISTRIBUTION}
    seen: set[tuple[str, frozenset[str]]] = set()
    todo: list[tuple[Distribution, frozenset[str], tuple[str, ...]]] = [(distribution, frozenset(), ())]
    while todo:
        owner, extras, through = todo.pop()
        for requirement in _requirements(owner, extras):
            name = canonicalize_name(requirement.name)
            if name in neighbours or name.startswith("platform-plugin-"):
                continue
            yield _Wish(module, requirement, through)
            wanted = (name, frozenset(requirement.extras))
            if name in on_path and wanted not in seen:
                seen.add(wanted)
                todo.append((on_path[name], wanted[1], (*through, requirement.name)))


def _requirements(distribution: Distribution, extras: Iterable[str]) -> Iterator[Requirement]:
    for text in distribution.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # metadata of long ago, which no installer could act upon either
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def _unfulfilled(asked: Sequence[_Wish], there: Distribution | None) -> Iterator[Finding]:
    for module in dict.fromkeys(wish.module for wish in asked):
        for words in dict.fromkeys(w.words for w in asked if w.module == module and not _fits(w, there)):
            name = asked[0].requirement.name
            if there is None:
                yield Finding(
                    Area.PACKAGES,
                    module,
                    f"needs the Python package {words}, which is not installed",
                    f"pip install '{name}{_strictest(asked)}'",
                )
                continue
            others = sorted({w.module for w in asked if w.module != module and _fits(w, there)})
            content = f"; {', '.join(others)} can work with that one" if others else ""
            yield Finding(
                Area.PACKAGES,
                module,
                f"needs the Python package {words}, but {there.version} is installed{content}",
                f"take another release of {module}, or where one of {name} suits all:"
                f" pip install '{name}{_strictest(asked)}'"
                if others
                else f"pip install '{name}{_strictest(asked)}'",
            )


def _fits(wish: _Wish, there: Distribution | None) -> bool:
    if there is None:
        return False
    try:
        return wish.requirement.specifier.contains(Version(there.version), prereleases=True)
    except InvalidVersion:
        return True  # nobody can say


def _strictest(asked: Sequence[_Wish]) -> str:
    """Return what all of them together ask for; of several lower bounds the highest."""
    parts = {part for wish in asked for part in wish.requirement.specifier}
    floors = sorted((part for part in parts if part.operator == ">="), key=lambda part: Version(part.version))
    return ",".join(sorted(str(part) for part in parts.difference(floors[:-1])))
