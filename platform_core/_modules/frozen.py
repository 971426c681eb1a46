"""A set of modules written down, so that another machine, or the same one next year, has exactly that set."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from platform_core import ENTRY_POINT_GROUP, __version__
from platform_core._environment import listed
from platform_core._manifest import KERNEL, Plugin
from platform_core._modules.candidates import installer
from platform_core._pins import Pin, digest_of, pins
from platform_core.errors import OperationError

_INSTALL_SECONDS = 600


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
            _run([*installer(), "--quiet", *options, *more, *_requirements(group)])


def _run(command: list[str]) -> None:
    done = subprocess.run(  # noqa: S603  # a list, no shell
        command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
    )
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise OperationError(
            f"The set could not be installed: {said[-1] if said else 'the installer did not say why'}"
        )


def _requirements(wanted: Sequence[Pin]) -> Iterator[str]:
    for pin in wanted:
        name = "platform-core" if pin.name == KERNEL else _distribution(pin.name)
        yield f"{name}=={pin.version}"


def _distribution(module: str) -> str:
    for entry_point in entry_points(group=ENTRY_POINT_GROUP, name=module):
        if entry_point.dist is not None:
            return str(entry_point.dist.metadata["Name"])
    return f"platform-plugin-{module.replace('_', '-')}"


def _problem(pin: Pin) -> str | None:
    version = _installed(pin.name)
    if version is None:
        return "it is not installed"
    return pin.refusal(version, _folder("platform_core" if pin.name == KERNEL else pin.name))


def _installed(module: str) -> str | None:
    if module == KERNEL:
        return __version__
    found = [entry.dist.version for entry in entry_points(group=ENTRY_POINT_GROUP, name=module) if entry.dist]
    return found[0] if found else None


def _folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None
