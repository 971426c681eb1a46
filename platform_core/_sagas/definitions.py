"""What the installed modules declare, by name and version."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from platform_core.declarations import Saga
from platform_core.domain import Command
from platform_core.errors import PlatformError


class Definitions:
    """
    Every saga of this build.

    Attributes:
        by_handler: what deliveries are stored under → the definition.
    """

    def __init__(self, sagas: Iterable[Saga]) -> None:
        self.by_handler: Mapping[str, Saga] = {saga.handler: saga for saga in sagas}

    def newest(self, name: str) -> Saga:
        """
        Return the version that a new run gets.

        Raises:
            PlatformError: nobody declares such a saga.
        """
        versions = [saga for saga in self.by_handler.values() if saga.name == name]
        if not versions:
            raise PlatformError(f"no installed module declares the saga {name}: register_sagas")
        return max(versions, key=lambda saga: saga.version)

    def get(self, name: str, version: int) -> Saga | None:
        """Return the version that a run is pinned to; None where this build does not have it."""
        return self.by_handler.get(f"{name}@{version}")


def command_of(function: Callable[..., Any]) -> type[Command[Any]] | None:
    """Return which command a step's function makes, as its annotation says; None where it does not."""
    try:
        made = typing.get_type_hints(function, include_extras=False).get("return")
    except (NameError, TypeError):
        return None
    return made if isinstance(made, type) and issubclass(made, Command) else None
