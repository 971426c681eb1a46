"""Trips in PostgreSQL."""

from __future__ import annotations

from typing import ClassVar, Final

from sqlalchemy import Boolean, Column, Index, Table, Text, Uuid, bindparam, select

from platform_core.db import (
    AggregateMap,
    Reads,
    Repository,
    aggregate_columns,
    module_metadata,
    sagas,
)
from platform_core.security import Principal
from trips.application import GetTrip, TripView
from trips.domain import Trip, TripNotFound

METADATA: Final = module_metadata("trips")

trips = Table(
    "trips",
    METADATA,
    *aggregate_columns(),
    Column("traveller_id", Uuid, nullable=False),
    Column("course_id", Uuid, nullable=False),
    Column("destination", Text, nullable=False),
    Column("flight", Text),
    Column("has_postcard", Boolean, nullable=False),
    Index("ix_trips_traveller_id", "traveller_id", "id"),
)

TRIPS: Final = AggregateMap(Trip, trips, name="trips.trip")


class SqlTripRepository(Repository[Trip]):
    """Trips, for commands."""

    mapping: ClassVar[AggregateMap[Trip]] = TRIPS
    missing = TripNotFound


_ONE: Final = (
    select(
        trips.c.id,
        trips.c.course_id,
        trips.c.destination,
        trips.c.flight,
        trips.c.has_postcard,
        sagas.c.status,
        trips.c.created_at,
    )
    .outerjoin(sagas, sagas.c.id == trips.c.id)
    .where(trips.c.id == bindparam("trip_id"), trips.c.traveller_id == bindparam("traveller_id"))
)


async def get_trip(query: GetTrip, reads: Reads, principal: Principal) -> TripView:
    row = await reads.one(_ONE, {"trip_id": query.trip_id, "traveller_id": principal.require_user()})
    if row is None:
        raise TripNotFound
    return TripView(**row)
