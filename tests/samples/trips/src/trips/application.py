"""Booking a trip: the command that begins it, its steps, and which command each of them is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Protocol
from uuid import UUID

from annotated_types import Len

from courses import Enrol, WithdrawEnrolment
from platform_core.domain import Command, Query, new_id
from platform_core.ports import Clock, SagaRun, Sagas
from platform_core.security import Principal
from trips.domain import Trip


class TripRepository(Protocol):
    """Trips, for commands."""

    def add(self, aggregate: Trip) -> None: ...
    async def get(self, identity: UUID) -> Trip: ...


@dataclass(frozen=True, kw_only=True)
class TripView:
    """
    A trip as its traveller sees it.

    Attributes:
        status: of its saga; None when that was long ago.
    """

    id: UUID
    course_id: UUID
    destination: str
    flight: str | None
    has_postcard: bool
    status: str | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class GetTrip(Query[TripView]):
    """One of the caller's own trips."""

    trip_id: UUID


@dataclass(frozen=True, kw_only=True)
class BookTrip(Command[UUID]):
    """Fly to a course."""

    course_id: UUID
    destination: Annotated[str, Len(1, 100)]


async def book_trip(
    command: BookTrip, sagas: Sagas, trips: TripRepository, principal: Principal, clock: Clock
) -> UUID:
    traveller_id = principal.require_user()
    trip = Trip.plan(
        new_id(),
        traveller_id=traveller_id,
        course_id=command.course_id,
        destination=command.destination,
        now=clock.now(),
    )
    trips.add(trip)
    data = {"course_id": str(command.course_id), "traveller_id": str(traveller_id)}
    sagas.start("trips.booking", saga_id=trip.id, data=data, followed=True)
    return trip.id


# ── the steps that are commands of this module ───────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class BookFlight(Command[None]):
    """Book the flight of a trip."""

    trip_id: UUID


@dataclass(frozen=True, kw_only=True)
class CancelFlight(Command[None]):
    """Give the flight back."""

    trip_id: UUID


@dataclass(frozen=True, kw_only=True)
class WritePostcard(Command[None]):
    """Let those at home hear of it."""

    trip_id: UUID


async def handle_book_flight(command: BookFlight, trips: TripRepository, clock: Clock) -> None:
    (await trips.get(command.trip_id)).book(clock.now())


async def handle_cancel_flight(command: CancelFlight, trips: TripRepository, clock: Clock) -> None:
    (await trips.get(command.trip_id)).cancel(clock.now())


async def handle_write_postcard(command: WritePostcard, trips: TripRepository, clock: Clock) -> None:
    (await trips.get(command.trip_id)).write_home(clock.now())


# ── which command each step is ───────────────────────────────────────────────────────────────────


def book_flight(run: SagaRun) -> BookFlight:
    return BookFlight(trip_id=run.id)


def cancel_flight(run: SagaRun) -> CancelFlight:
    return CancelFlight(trip_id=run.id)


def enrol(run: SagaRun) -> Enrol:
    return Enrol(
        enrolment_id=run.id, course_id=UUID(run.data["course_id"]), student_id=UUID(run.data["traveller_id"])
    )


def withdraw(run: SagaRun) -> WithdrawEnrolment:
    return WithdrawEnrolment(enrolment_id=run.id)


def write_postcard(run: SagaRun) -> WritePostcard:
    return WritePostcard(trip_id=run.id)
