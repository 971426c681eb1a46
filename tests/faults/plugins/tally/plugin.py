"""The tally's hooks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from platform_core import hookimpl
from platform_core.declarations import Migrations, Retry, Services, Subscription, on, per_unit_of_work
from platform_core.http import Router
from tally import application, contracts, infrastructure
from tally.presentation import router

PATIENT = Retry(attempts_count=1000, first_seconds=0.1, longest_seconds=0.5)


@hookimpl
def register_services() -> Services:
    return Services(
        provides=[
            per_unit_of_work(application.MarkRepository, infrastructure.SqlMarkRepository),
            per_unit_of_work(application.Effects, infrastructure.SqlEffects),
        ],
        commands={application.MakeMark: application.make_mark},
        queries={application.CountMarks: infrastructure.count_marks},
    )


@hookimpl
def register_routes() -> Sequence[Router]:
    return [router]


@hookimpl
def register_migrations() -> Migrations:
    return Migrations(Path(__file__).parent / "migrations" / "versions", infrastructure.METADATA)


@hookimpl
def register_event_handlers() -> Sequence[Subscription]:
    return [on(contracts.Marked, application.note, name="tally.note", retry=PATIENT)]
