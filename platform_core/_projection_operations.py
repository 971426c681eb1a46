"""What an operator can do about a read model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from platform_core._projections import Replays, store
from platform_core.db import UnitOfWork
from platform_core.domain import Command
from platform_core.errors import NotFound

__all__ = ["COMMANDS", "RebuildProjection"]


class ProjectionNotFound(NotFound):
    """No installed module has such a projection."""


@dataclass(frozen=True, kw_only=True)
class RebuildProjection(Command[None]):
    """Make a read model anew of its events; one that is being made already goes on."""

    wire_name: ClassVar[str] = "platform.rebuild_projection"

    name: str


async def rebuild_projection(command: RebuildProjection, replays: Replays, uow: UnitOfWork) -> None:
    """Handle `RebuildProjection`: workers and whoever asked do the rest, batch by batch."""
    if command.name not in replays.projections:
        known = ", ".join(sorted(replays.projections)) or "none"
        raise ProjectionNotFound(f"There is no projection {command.name}; there are: {known}.")
    uow.write(store.REQUEST, {"projection": command.name})


COMMANDS: Final[Mapping[type[Command[Any]], Callable[..., Any]]] = {RebuildProjection: rebuild_projection}
