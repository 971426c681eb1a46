"""The activity feed follows the events of this module: one handler for all of them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Any, Final
from uuid import UUID

from platform_core.domain import Event
from platform_core.ports import EventMetadata
from project_management.application.ports import ActivityLog, Happening

_COLUMNS: Final = frozenset({"project_id", "task_id"})


async def note_activity(event: Event, log: ActivityLog, metadata: EventMetadata) -> None:
    """
    Write down what happened; the line is called as the event is, so a repeated delivery changes nothing.

    Args:
        event: one of `contracts.events.EVENTS`, each of which names its project.
    """
    fields = asdict(event)
    log.note(
        Happening(
            id=metadata.event_id,
            project_id=fields["project_id"],
            kind=event.wire_name.partition(".")[2],
            actor_id=metadata.actor_id,
            task_id=fields.get("task_id"),
            data={name: _plain(value) for name, value in fields.items() if name not in _COLUMNS},
            occurred_at=metadata.occurred_at,
        )
    )


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, UUID | date) else value
