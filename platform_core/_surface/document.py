"""The surface as data, and as the text of a file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_core import __version__
from platform_core._manifest import KERNEL as THE_PLATFORM
from platform_core._surface import imported, offered
from platform_core._surface.part import KERNEL, Part
from platform_core.errors import OperationError

if TYPE_CHECKING:
    from platform_core.app import Kernel

Surface = dict[str, Any]
"""
`versions`: owner → version. `stable` and `provisional`: owner → kind → name → detail → description, where the empty
detail is the thing itself. `deprecated`: "owner kind name" → since when, until when, what to use instead.
"""


def surface_of(kernel: Kernel, owners: Sequence[str], root: Any, groups: Mapping[str, str]) -> Surface:
    """
    Return the surface as the code has it now.

    Args:
        kernel: loaded, with every owner.
        owners: modules; `platform_core` is the platform itself.
        root: the command line.
        groups: command of `root` → the module that brings it.

    Raises:
        OperationError: an owner is not among what the kernel has loaded.
    """
    plugins = {plugin.name: plugin for plugin in kernel.plugins}
    found: Surface = {"versions": {}, "stable": {}, "provisional": {}, "deprecated": {}}
    for owner in owners:
        if owner != KERNEL and owner not in kernel.declared:
            why = plugins[owner].error if owner in plugins else "it is not installed"
            raise OperationError(f"{owner} does not start, so nothing can be said of it: {why}")
        found["versions"][owner] = __version__ if owner == KERNEL else plugins[owner].version
    document = kernel.app().openapi()
    for owner in owners:
        for part in _parts(owner, kernel, document, root, groups):
            _add(found, part)
    return found


def kept(path: Path) -> Surface:
    """
    Return the surface that a file promises; an empty one where there is no file yet.

    Raises:
        OperationError: the file is something else.
    """
    if not path.is_file():
        return {"versions": {}, "stable": {}, "provisional": {}, "deprecated": {}}
    try:
        loaded: Surface = json.loads(path.read_text(encoding="utf-8"))
        loaded["versions"], loaded["stable"], loaded["deprecated"]
    except (ValueError, KeyError, TypeError) as error:
        raise OperationError(
            f"{path} is no surface as `platform modules surface` writes it: {error!r}."
        ) from error
    return loaded


def text_of(found: Surface) -> str:
    """Return the text of the file."""
    return json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _parts(
    owner: str, kernel: Kernel, document: Mapping[str, Any], root: Any, groups: Mapping[str, str]
) -> Iterator[Part]:
    yield from imported.hooks(owner)
    if owner == KERNEL:
        yield from imported.names()
    else:
        yield from imported.contracts(owner)
        yield from imported.events(owner)
    yield from offered.problems(owner)
    yield from offered.settings(owner, kernel.declared)
    yield from offered.commands(owner, root, groups)
    yield from offered.http(owner, document, kernel.declared.keys() - {THE_PLATFORM})
    yield from offered.permissions(owner, kernel.declared)


def _add(found: Surface, part: Part) -> None:
    kinds = found[part.grade].setdefault(part.owner, {})
    kinds.setdefault(part.kind, {}).setdefault(part.name, {})[part.detail] = part.says
    if part.deprecated is not None:
        found["deprecated"][f"{part.owner} {part.kind} {part.name}{part.detail}"] = part.deprecated.json
