"""What the installed modules declare, by name and version."""

from __future__ import annotations

import typing
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from platform_core._sagas import moves
from platform_core.declarations import Saga, SagaStep
from platform_core.domain import Command
from platform_core.errors import PlatformError, Unparsable
from platform_core.ports import SagaRun


@dataclass(frozen=True, slots=True)
class Contribution:
    """A step that a module adds to whatever saga its hook belongs to."""

    module: str
    hook: str
    step: SagaStep


class Definitions:
    """
    Every saga of this build.

    A contributed step has a handler of its own, `file_management.workspace:user_management.onboarding@1`: a run that
    has come to it waits for workers that have the contributor, as any delivery waits for those that have its handler.

    Args:
        declared: (module, saga) of the active modules.
        contributed: steps, in the order of their modules.
        resting: modules that are switched off at the moment.

    Attributes:
        by_handler: what deliveries are stored under → the definition, contributed steps included.
        modules: the same handlers → whose they are.
    """

    def __init__(
        self,
        declared: Iterable[tuple[str, Saga]],
        contributed: Sequence[Contribution] = (),
        resting: Container[str] = frozenset(),
    ) -> None:
        self._resting = resting
        self.by_handler: dict[str, Saga] = {}
        self.modules: dict[str, str] = {}
        self._own: dict[str, list[str]] = {}
        for module, saga in declared:
            added = sorted((c for c in contributed if c.hook == saga.hook), key=lambda c: c.step.rank)
            whole = replace(saga, steps=(*saga.steps, *(c.step for c in added)))
            self._own[saga.handler] = [step.name for step in saga.steps]
            self._add(saga.handler, whole, module)
            for contribution in added:
                self._add(_handler(contribution.step.name, saga), whole, contribution.module)

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

    def pinned(self, name: str, version: int, steps: Sequence[str]) -> Saga | None:
        """
        Return the definition with the steps that a run began with.

        Contributed ones that this build does not have are there as blanks: other steps can be taken all the same.

        Returns: None where this build does not have that version.
        """
        saga = self.by_handler.get(f"{name}@{version}")
        if saga is None:
            return None
        own, known = self._own[saga.handler], {step.name: step for step in saga.steps}
        if list(steps[: len(own)]) != own or (saga.hook is None and len(steps) > len(own)):
            return None
        return replace(saga, steps=tuple(known.get(step) or _blank(step) for step in steps))

    def handler(self, saga: Saga, run: moves.Run) -> str:
        """Return under which name the delivery of a run waits: that of whoever can make its next move."""
        move = moves.next_move(saga, run)
        if move is None or move.step.name in self._own[saga.handler]:
            return saga.handler
        return _handler(move.step.name, saga)

    def can_take(self, handler: str) -> bool:
        """Tell whether this process takes what waits under that name, at the moment."""
        return handler in self.by_handler and self.modules[handler] not in self._resting

    def _add(self, handler: str, saga: Saga, module: str) -> None:
        self.by_handler[handler], self.modules[handler] = saga, module


def command_of(function: Callable[..., Any]) -> type[Command[Any]] | None:
    """Return which command a step's function makes, as its annotation says; None where it does not."""
    try:
        made = typing.get_type_hints(function, include_extras=False).get("return")
    except (NameError, TypeError):
        return None
    return made if isinstance(made, type) and issubclass(made, Command) else None


def _handler(step: str, saga: Saga) -> str:
    return f"{step}:{saga.handler}"


def _blank(name: str) -> SagaStep:
    """Stand for a step of a module that is not there; whether it can be taken back, nobody here knows."""
    return SagaStep(name=name, action=_nobody, compensation=_nobody, critical=False)


def _nobody(run: SagaRun) -> Command[Any]:
    raise Unparsable(f"saga {run.id} stands at a step of a module that is not installed")
