"""The life of a task, as a table: which status follows which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from project_management.contracts import TaskStatus
from project_management.domain.errors import IllegalTransition

TODO: Final = "todo"
DONE: Final = "done"
CANCELLED: Final = "cancelled"

TRANSITIONS: Final[Mapping[TaskStatus, frozenset[TaskStatus]]] = {
    "todo": frozenset({"in_progress", "cancelled"}),
    "in_progress": frozenset({"review", "done", "todo", "cancelled"}),
    "review": frozenset({"in_progress", "done"}),
    "done": frozenset({"in_progress"}),
    "cancelled": frozenset({"todo"}),
}


def require_transition(before: TaskStatus, after: TaskStatus) -> None:
    """
    Insist that a task may go on from one status to another.

    Raises:
        IllegalTransition: it may not; the answer names where it may go instead.
    """
    following = sorted(TRANSITIONS[before])
    if after not in following:
        raise IllegalTransition(
            f"A task that is {before} cannot become {after}; it can become {' or '.join(following)}.",
            extra={"status_now": before, "allowed": following},
        )
