"""The echo's hooks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from echo.infrastructure import METADATA, Effects

from platform_core import hookimpl
from platform_core.declarations import Migrations, Services, Subscription, on, per_unit_of_work
from platform_core.ports import EventMetadata
from user_management import UserRenamed


async def note(event: UserRenamed, effects: Effects, metadata: EventMetadata) -> None:
    """Leave one row."""
    effects.write(metadata.event_id)


@hookimpl
def register_services() -> Services:
    return Services(provides=[per_unit_of_work(Effects)])


@hookimpl
def register_event_handlers() -> Sequence[Subscription]:
    return [on(UserRenamed, note, name="echo.note")]


@hookimpl
def register_migrations() -> Migrations:
    return Migrations(Path(__file__).parent / "migrations" / "versions", METADATA)
