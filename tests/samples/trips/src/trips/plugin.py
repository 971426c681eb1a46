"""What trips contribute to the platform."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from platform_core import hookimpl
from platform_core.declarations import Migrations, Retry, Saga, SagaStep, Services, per_unit_of_work
from trips import application, infrastructure

if TYPE_CHECKING:
    from fastapi import APIRouter


@hookimpl
def register_services() -> Services:
    return Services(
        provides=[per_unit_of_work(application.TripRepository, infrastructure.SqlTripRepository)],
        commands={
            application.BookTrip: application.book_trip,
            application.BookFlight: application.handle_book_flight,
            application.CancelFlight: application.handle_cancel_flight,
            application.WritePostcard: application.handle_write_postcard,
        },
        queries={application.GetTrip: infrastructure.get_trip},
    )


@hookimpl
def register_sagas() -> Sequence[Saga]:
    return [
        Saga(
            name="trips.booking",
            steps=[
                SagaStep(
                    name="flight", action=application.book_flight, compensation=application.cancel_flight
                ),
                SagaStep(
                    name="seat",
                    action=application.enrol,
                    compensation=application.withdraw,
                    retry=Retry(attempts_count=3),
                ),
                SagaStep(name="postcard", action=application.write_postcard, critical=False),
            ],
        )
    ]


@hookimpl
def register_routes() -> Sequence[APIRouter]:
    from trips.presentation import router

    return [router]


@hookimpl
def register_migrations() -> Migrations:
    return Migrations(Path(__file__).parent / "migrations" / "versions", infrastructure.METADATA)
