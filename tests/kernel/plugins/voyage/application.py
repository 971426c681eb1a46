"""Booking the parts of a trip, and cancelling them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from platform_core.domain import Command, Refused, Unfinished
from platform_core.errors import DomainError, Kind
from platform_core.ports import SagaRun, Sagas


class SoldOut(DomainError, kind=Kind.CONFLICT):
    """There is none left."""


class Diary(Protocol):
    """Where commands write what they did; it keeps duplicates, so that tests can find them."""

    def write(self, trip_id: UUID, entry: str) -> None: ...


@dataclass
class Faults:
    """What goes wrong next, by entry such as `book hotel`; each attempt takes one."""

    planned: dict[str, list[Callable[[], Any] | Exception | None]] = field(
        default_factory=lambda: defaultdict(list)
    )
    calls: list[str] = field(default_factory=list)

    async def strike(self, entry: str) -> None:
        self.calls.append(entry)
        fault = self.planned[entry].pop(0) if self.planned[entry] else None
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            await fault()


faults = Faults()


@dataclass(frozen=True, kw_only=True)
class PlanTrip(Command[None]):
    trip_id: UUID
    followed: bool = False
    saga: str = "voyage.trip"


@dataclass(frozen=True, kw_only=True)
class Book(Command[dict[str, str]]):
    trip_id: UUID
    what: str


@dataclass(frozen=True, kw_only=True)
class Cancel(Command[None]):
    trip_id: UUID
    what: str


@dataclass(frozen=True, kw_only=True)
class See(Command[None]):
    """See the next of three sights, or forget it."""

    trip_id: UUID
    number: int
    forgets: bool = False


@dataclass(frozen=True, kw_only=True)
class Refund(Command[None]):
    """Pay back half of a booking, or the other half."""

    trip_id: UUID
    reference: str


async def plan_trip(command: PlanTrip, sagas: Sagas, diary: Diary) -> None:
    sagas.start(
        command.saga,
        saga_id=command.trip_id,
        data={"trip": str(command.trip_id)},
        followed=command.followed,
    )
    diary.write(command.trip_id, "planned")


async def book(command: Book, diary: Diary) -> dict[str, str] | Refused:
    diary.write(command.trip_id, f"booked {command.what}")
    try:
        await faults.strike(f"book {command.what}")
    except SoldOut as error:
        if command.what == "hotel":  # its traces stay; that of a flight is nothing but an error
            return Refused(error)
        raise
    return {"reference": f"{command.what}-1"}


async def cancel(command: Cancel, diary: Diary) -> None:
    diary.write(command.trip_id, f"cancelled {command.what}")
    await faults.strike(f"cancel {command.what}")


async def refund(command: Refund, diary: Diary) -> Unfinished | None:
    diary.write(command.trip_id, f"half of {command.reference}")
    await faults.strike("refund")
    return None if faults.calls.count("refund") == 2 else Unfinished()


async def see(command: See, diary: Diary) -> Unfinished | None:
    verb = "forget" if command.forgets else "see"
    diary.write(command.trip_id, f"{verb} sight {command.number}")
    await faults.strike(f"{verb} sight {command.number}")
    is_last = command.number == (1 if command.forgets else 3)
    return None if is_last else Unfinished(command.number - command.forgets)


def see_sight(run: SagaRun) -> See:
    return See(trip_id=run.id, number=run.results.get("sights", 0) + 1)


def forget_sight(run: SagaRun) -> See:
    return See(trip_id=run.id, number=run.results.get("sights", 3), forgets=True)


def book_flight(run: SagaRun) -> Book:
    return Book(trip_id=run.id, what="flight")


def cancel_flight(run: SagaRun) -> Cancel:
    assert run.is_compensating
    return Cancel(trip_id=UUID(run.data["trip"]), what="flight")


def book_hotel(run: SagaRun) -> Book:
    assert run.results["flight"] == {"reference": "flight-1"}
    return Book(trip_id=run.id, what="hotel")


def book_cabin(run: SagaRun) -> Book:
    return Book(trip_id=run.id, what="cabin")


def refund_cabin(run: SagaRun) -> Refund:
    return Refund(trip_id=run.id, reference=run.results["cabin"]["reference"])


def cancel_hotel(run: SagaRun) -> Cancel:
    return Cancel(trip_id=run.id, what="hotel")


def write_postcard(run: SagaRun) -> Book:
    return Book(trip_id=run.id, what="postcard")


def confirm(run: SagaRun) -> Book:
    return Book(trip_id=run.id, what="confirmation")


async def hang() -> None:
    await asyncio.sleep(60)
