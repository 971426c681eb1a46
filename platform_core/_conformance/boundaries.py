"""Whether the module's imports go down its layers, and end at what others publish."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from platform_core._conformance.grades import Finding
from platform_core._conformance.ground import Ground
from platform_core._conformance.imports import KERNEL, Imports
from platform_core._conformance.rooms import PRIVATE_ROOMS, layers
from platform_core._conformance.subject import Subject
from platform_core._surface.published import PUBLISHED


def check(subject: Subject, ground: Ground) -> Iterator[Finding]:
    """Yield each import that leads where it should not."""
    imports = Imports.read(subject)
    yield from _upwards(imports)
    for importer, imported in imports.direct():
        yield from _foreign(imports, importer, imported)
    yield from _undeclared(imports)


def _upwards(imports: Imports) -> Iterator[Finding]:
    import grimp

    there = imports.rooms()
    present = [[room for room in layer if room in there] for layer in layers()]
    order = [grimp.Layer(*rooms, independent=True) for rooms in present if rooms]
    found = imports.graph.find_illegal_dependencies_for_layers(order, {imports.subject.name})
    for illegal in sorted(found, key=lambda dependency: (dependency.importer, dependency.imported)):
        for route in sorted(illegal.routes):
            chain = [min(route.heads), *route.middle, min(route.tails)]
            yield Finding(
                imports.place(chain[0], chain[1]),
                f"{' imports '.join(chain)}: imports go down only",
                "turn it round: a lower layer declares a Protocol, a higher one implements it",
            )


def _foreign(imports: Imports, importer: str, imported: str) -> Iterator[Finding]:
    owner, _, rest = imported.partition(".")
    room = rest.partition(".")[0]
    if owner == KERNEL and imported not in PUBLISHED:
        hint = f"use what the kernel publishes: {', '.join(PUBLISHED)}"
        yield Finding(imports.place(importer, imported), f"it imports {imported}, the kernel's own", hint)
    elif owner in {*imports.subject.beside, *imports.subject.hidden} and room in PRIVATE_ROOMS:
        hint = f"import from its facade: from {owner} import …; if that lacks something, ask its author"
        yield Finding(
            imports.place(importer, imported), f"it imports {imported}, an internal of {owner}", hint
        )


def _undeclared(imports: Imports) -> Iterator[Finding]:
    """Yield imports of what nothing brings that the module's metadata asks for; it is here by chance."""
    brought = _brought_by(imports.subject.distribution)
    offered = packages_distributions()
    told: set[str] = set()
    for importer, imported in imports.direct():
        root = imported.partition(".")[0]
        known = root in sys.stdlib_module_names or root in {KERNEL, *told, *imports.subject.requires}
        if known or importer.split(".")[1:2] == ["testing"]:
            continue
        owners = {canonicalize_name(name) for name in offered.get(root, ())}
        if not owners & brought and not _is_guarded(imports, root):
            told.add(root)
            who = sorted(owners)[0] if owners else root
            yield Finding(
                imports.place(importer, imported),
                f"it imports {root}, and nothing that it requires brings that",
                f'add "{who}" to the dependencies in pyproject.toml',
            )


def _is_guarded(imports: Imports, root: str) -> bool:
    """Optional neighbours are imported where they are there; `subsets` tries it without."""
    return root in imports.subject.optional


def _brought_by(name: str) -> set[str]:
    """Return the distributions that installing one installs."""
    brought: set[str] = set()
    todo = [name]
    while todo:
        key = canonicalize_name(todo.pop())
        if key in brought:
            continue
        brought.add(key)
        try:
            requirements = distribution(key).requires or ()
        except PackageNotFoundError:
            continue
        for text in requirements:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(requirement.name)
    return brought
