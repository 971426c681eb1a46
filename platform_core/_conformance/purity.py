"""Whether the module's rules and use cases could be read, and run, without a computer around them."""

from __future__ import annotations

from collections.abc import Iterator

from platform_core._conformance.grades import Finding, remark
from platform_core._conformance.ground import Ground
from platform_core._conformance.imports import KERNEL, Imports
from platform_core._conformance.rooms import BESIDE, FACES, OUTSIDE_WORLD, VENDORS, layers
from platform_core._conformance.subject import Subject


def check(subject: Subject, ground: Ground) -> Iterator[Finding]:
    """Yield each vendor that an inner room depends on, and each file that has no room."""
    imports = Imports.read(subject)
    known = {room for layer in layers() for room in layer}
    rooms = imports.rooms()
    for room in sorted(rooms - known - set(BESIDE)):
        hint = f"every line has a room ({', '.join(sorted(known))}); there is none for helpers"
        yield Finding(f"{subject.name}.{room}", "nobody can tell from its name what it may import", hint)
    inner = rooms & FACES.keys()
    if not inner:
        yield remark(subject.name, "it has no domain, use cases or contracts in rooms of their own")
    for importer, imported in imports.direct():
        room = importer.split(".")[1] if "." in importer else ""
        if room in inner:
            yield from _outside(imports, room, importer, imported)
    yield from _vendors(imports, inner)


def _outside(imports: Imports, room: str, importer: str, imported: str) -> Iterator[Finding]:
    owner, _, rest = imported.partition(".")
    face = rest.partition(".")[0]
    if owner == KERNEL and face and not face.startswith("_") and face not in FACES[room]:
        allowed = ", ".join(sorted(FACES[room]))
        yield Finding(
            imports.place(importer, imported),
            f"{room} imports {imported}",
            f"of the kernel, {room} sees only: {allowed}",
        )
    if room != "application" and owner in OUTSIDE_WORLD:
        hint = "take what it tells as an argument: the time, an identity, a text"
        yield Finding(imports.place(importer, imported), f"{room} imports {owner}", hint)


def _vendors(imports: Imports, rooms: set[str]) -> Iterator[Finding]:
    for importer in imports.own():
        if importer.split(".")[1:2] and importer.split(".")[1] in rooms:
            for vendor in sorted(set(VENDORS) & imports.graph.modules):
                chain = imports.graph.find_shortest_chain(importer, vendor)
                if chain and not _through_own_room(chain, imports.subject.name, rooms):
                    yield Finding(
                        imports.place(chain[0], chain[1]),
                        f"it depends on {vendor}: {' imports '.join(chain)}",
                        "declare a Protocol here, and implement it in infrastructure",
                    )


def _through_own_room(chain: tuple[str, ...], module: str, rooms: set[str]) -> bool:
    """Whether another file of the inner rooms is the first to be blamed."""
    return any(part.startswith(f"{module}.") and part.split(".")[1] in rooms for part in chain[1:])
