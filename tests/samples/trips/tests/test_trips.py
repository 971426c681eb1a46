"""A trip is booked, or nothing of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from courses.testing import make_course
from platform_core.testing import RunningPlatform
from user_management.testing import Account, sign_up

API = "/api/v1"


async def book(somebody: Account, course_id: UUID, destination: str = "Rome") -> Any:
    body = {"course_id": str(course_id), "destination": destination}
    headers = {"Idempotency-Key": f"{somebody.username}-{destination}"}
    return await somebody.client.post(f"{API}/trips", json=body, headers=headers)


async def stands(p: RunningPlatform) -> tuple[str, list[str]]:
    """How the latest run stands, and each of its steps."""
    [saga] = await p.sql("SELECT status, steps FROM platform.sagas ORDER BY id DESC LIMIT 1")
    return saga["status"], [step["status"] for step in saga["steps"]]


@pytest.mark.parametrize(("destination", "last"), [("Rome", "completed"), ("desert", "failed")])
async def test_a_trip_is_booked_with_or_without_a_postcard(
    p: RunningPlatform, eve: Account, destination: str, last: str
) -> None:
    course = await make_course(p, capacity=1)
    booked = await book(eve, course.id, destination)
    assert booked.status_code == 201, booked.text
    trip = booked.json()
    assert (trip["status"], trip["has_postcard"]) == ("completed", last == "completed")
    assert trip["flight"].startswith(destination[:2].upper())
    assert await stands(p) == ("completed", ["completed", "completed", last])
    again = await book(eve, course.id, destination)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (trip, "true")
    seen = await eve.client.get(f"{API}/trips/{trip['id']}")
    assert seen.json() == trip


async def test_without_a_flight_nobody_asks_for_a_seat(p: RunningPlatform, eve: Account) -> None:
    course = await make_course(p, capacity=1)
    refused = await book(eve, course.id, "nowhere")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/no-flight")
    assert await stands(p) == ("compensated", ["failed", "pending", "pending"])


async def test_without_a_seat_the_flight_is_given_back(p: RunningPlatform, eve: Account) -> None:
    course = await make_course(p, capacity=1)
    assert (await book(await sign_up(p, "ben"), course.id)).status_code == 201
    refused = await book(eve, course.id)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/course-full")
    assert await stands(p) == ("compensated", ["compensated", "failed", "pending"])
    flights = await p.sql("SELECT flight FROM trips.trips WHERE traveller_id = %(id)s", id=eve.id)
    assert flights == [{"flight": None}]
