"""The voyage's hooks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from platform_core import hookimpl
from platform_core.declarations import Migrations, Retry, Saga, SagaStep, Services, per_unit_of_work
from voyage import application, infrastructure

THRICE = Retry(attempts_count=3, first_seconds=60)
"""No test waits so long by accident; `deliver(skip_waits=True)` gets past it."""


@hookimpl
def register_services() -> Services:
    return Services(
        provides=[per_unit_of_work(application.Diary, infrastructure.SqlDiary)],
        commands={
            application.PlanTrip: application.plan_trip,
            application.Book: application.book,
            application.Cancel: application.cancel,
            application.See: application.see,
            application.Refund: application.refund,
        },
    )


@hookimpl
def register_migrations() -> Migrations:
    return Migrations(Path(__file__).parent / "migrations" / "versions", infrastructure.METADATA)


@hookimpl
def register_sagas() -> Sequence[Saga]:
    flight = SagaStep(
        name="flight",
        action=application.book_flight,
        compensation=application.cancel_flight,
        retry=THRICE,
        compensation_retry=THRICE,
    )
    hotel = SagaStep(
        name="hotel",
        action=application.book_hotel,
        compensation=application.cancel_hotel,
        retry=THRICE,
        compensation_retry=THRICE,
        timeout_seconds=0.5,
    )
    postcard = SagaStep(name="postcard", action=application.write_postcard, retry=THRICE, critical=False)
    confirmation = SagaStep(name="confirmation", action=application.confirm, retry=THRICE)
    sights = SagaStep(
        name="sights",
        action=application.see_sight,
        compensation=application.forget_sight,
        retry=THRICE,
        compensation_retry=THRICE,
    )
    cabin = SagaStep(
        name="cabin",
        action=application.book_cabin,
        compensation=application.refund_cabin,
        retry=THRICE,
        compensation_retry=THRICE,
    )
    return [
        Saga(name="voyage.trip", steps=[flight, hotel, postcard, confirmation]),
        Saga(name="voyage.tour", steps=[sights, confirmation]),
        Saga(name="voyage.cruise", steps=[cabin, confirmation]),
    ]
