"""A set of modules written down, so that another machine, or the same one next year, has exactly that set."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path

from platform_core import ENTRY_POINT_GROUP, __version__
from platform_core._environment import listed
from platform_core._manifest import KERNEL, Plugin
from platform_core._modules.candidates import have_installed
from platform_core._pins import Pin, digest_of, pins
from platform_core.errors import OperationError

_INSTALL_SECONDS = 600
_KERNEL_DISTRIBUTION = "platform-core"


@dataclass(frozen=True, slots=True)
class Difference:
    """Why what is installed is not what was frozen."""

    pin: Pin
    problem: str

    def __str__(self) -> str:
        return f"{self.pin.name}: {self.problem}"


def freeze(plugins: Sequence[Plugin]) -> list[Pin]:
    """Return the pins of a set, the kernel first."""
    found = [Pin(KERNEL, __version__, digest_of(Path(__file__).parents[1]))]
    for plugin in plugins:
        folder = _folder(plugin.name)
        found.append(Pin(plugin.name, plugin.version, digest_of(folder) if folder else None))
    return found


def read(path: Path) -> list[Pin]:
    """
    Return the pins of a file; lines, commas and `#` remarks.

    Raises:
        OperationError: it cannot be read, or has no pins.
    """
    try:
        found = [*pins(listed(path.read_text(encoding="utf-8"))).values()]
    except OSError as error:
        raise OperationError(f"{path} cannot be read: {error.strerror}.") from error
    if loose := [pin.name for pin in found if pin.version is None] or (not found and ["nothing"]):
        raise OperationError(
            f"{path}: {', '.join(loose)} has no version. `platform modules freeze` writes such files."
        )
    return found


def differences(frozen: Sequence[Pin]) -> list[Difference]:
    """Return what of a frozen set is missing here or is something else, by metadata and files; nothing is imported."""
    importlib.invalidate_caches()
    return [Difference(pin, problem) for pin in frozen if (problem := _problem(pin)) is not None]


def install(wanted: Sequence[Pin], options: Sequence[str]) -> None:
    """
    Have this environment's pip or uv install modules in their frozen versions.

    Args:
        options: passed on to it, such as `--find-links`.

    Raises:
        OperationError: it could not.
    """
    here = {pin.name for pin in wanted if _installed(pin.name) == pin.version}
    # the same version with other files is not installed again unless told so, and then without what it needs
    for group, more in (
        ([pin for pin in wanted if pin.name not in here], []),
        ([pin for pin in wanted if pin.name in here], ["--force-reinstall", "--no-deps"]),
    ):
        if group:
            have_installed(
                [*options, *more, *_requirements(group)],
                seconds=_INSTALL_SECONDS,
                failure="The set could not be installed",
            )


def _requirements(wanted: Sequence[Pin]) -> Iterator[str]:
    for pin in wanted:
        name = _KERNEL_DISTRIBUTION if pin.name == KERNEL else _distribution(pin.name)
        yield f"{name}=={pin.version}"


def _distribution(module: str) -> str:
    for entry_point in entry_points(group=ENTRY_POINT_GROUP, name=module):
        if entry_point.dist is not None:
            return str(entry_point.dist.metadata["Name"])
    return f"platform-plugin-{module.replace('_', '-')}"


def _problem(pin: Pin) -> str | None:
    found = _installed(pin.name)
    if found is None:
        return "it is not installed"
    return pin.refusal(found, _folder("platform_core" if pin.name == KERNEL else pin.name))


def _installed(module: str) -> str | None:
    if module == KERNEL:
        try:  # not what this process runs: it may just have had another one installed
            return version(_KERNEL_DISTRIBUTION)
        except PackageNotFoundError:
            return None
    found = [entry.dist.version for entry in entry_points(group=ENTRY_POINT_GROUP, name=module) if entry.dist]
    return found[0] if found else None


def _folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None
