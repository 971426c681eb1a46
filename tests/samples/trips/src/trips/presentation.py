"""Routes below `/trips`."""

from __future__ import annotations

from uuid import UUID

from fastapi import Response

from courses import AlreadyEnrolled, CourseFull
from platform_core.http import Ask, Execute, Follow, Router
from trips.application import BookTrip, GetTrip, TripView
from trips.domain import NoFlight, TripNotFound

router = Router()


def address(trip_id: UUID) -> str:
    return f"/api/v1/trips/{trip_id}"


@router.post(
    "/trips",
    status_code=201,
    begins=address,
    raises=(NoFlight, CourseFull, AlreadyEnrolled),
    summary="Book a trip",
)
async def book(command: BookTrip, execute: Execute, follow: Follow, ask: Ask, response: Response) -> TripView:
    trip_id = await execute(command)
    if not await follow(trip_id):
        response.status_code, response.headers["Location"] = 202, address(trip_id)
    return await ask(GetTrip(trip_id=trip_id))


@router.get("/trips/{trip_id}", raises=(TripNotFound,), summary="See one of your trips")
async def get(trip_id: UUID, ask: Ask) -> TripView:
    return await ask(GetTrip(trip_id=trip_id))
