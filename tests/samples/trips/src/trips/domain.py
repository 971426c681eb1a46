"""A trip to a course, and what can be wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from platform_core.domain import Aggregate
from platform_core.errors import DomainError, Kind, NotFound


class TripNotFound(NotFound):
    """There is no such trip, or it is not yours."""


class NoFlight(DomainError, kind=Kind.CONFLICT):
    """Nobody flies there."""


@dataclass(eq=False, kw_only=True)
class Trip(Aggregate):
    """
    A trip.

    Attributes:
        flight: its number, from when it is booked until it is cancelled.
        has_postcard: whether those at home heard of it.
    """

    traveller_id: UUID
    course_id: UUID
    destination: str
    flight: str | None = None
    has_postcard: bool = False

    @classmethod
    def plan(
        cls, trip_id: UUID, *, traveller_id: UUID, course_id: UUID, destination: str, now: datetime
    ) -> Trip:
        return cls(
            id=trip_id,
            traveller_id=traveller_id,
            course_id=course_id,
            destination=destination,
            created_at=now,
            updated_at=now,
        )

    def book(self, now: datetime) -> None:
        if self.destination == "nowhere":
            raise NoFlight
        self.flight = f"{self.destination[:2].upper()}-{str(self.id)[-4:]}"
        self.touch(now)

    def cancel(self, now: datetime) -> None:
        """Give the flight back; none is nothing to do."""
        if self.flight is not None:
            self.flight = None
            self.touch(now)

    def write_home(self, now: datetime) -> None:
        if self.destination == "desert":
            raise NoFlight("No postman comes there.")
        self.has_postcard = True
        self.touch(now)
