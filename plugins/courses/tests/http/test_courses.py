"""Courses over HTTP, and the seats that others' sagas take."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from courses import AlreadyEnrolled, CourseFull, CourseView, Enrol, WithdrawEnrolment
from courses.testing import make_course
from platform_core.declarations import Tier
from platform_core.domain import new_id
from platform_core.testing import PlatformFactory, RunningPlatform
from user_management.testing import Account

MAPS = {"title": "Reading maps", "price": {"amount": "49.90", "currency": "EUR"}, "capacity": 12}


async def test_a_course_is_offered_found_and_listed(teacher: Account, eve: Account) -> None:
    made = await teacher.client.post("/api/v1/courses", json=MAPS)
    assert made.status_code == 201, made.text
    course: dict[str, Any] = made.json()
    assert MAPS.items() <= course.items()
    assert (course["description"], course["seats_taken"]) == (None, 0)
    assert (await eve.client.get(f"/api/v1/courses/{course['id']}")).json() == course
    assert (await eve.client.get("/api/v1/courses")).json()["items"] == [course]


async def test_only_who_may_offers_courses(eve: Account) -> None:
    assert (await eve.client.post("/api/v1/courses", json=MAPS)).status_code == 403
    assert (await eve.client.get(f"/api/v1/courses/{new_id()}")).status_code == 404


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"price": {"amount": "-1", "currency": "EUR"}}, "/body/price/amount"),
        ({"price": {"amount": "1.001", "currency": "EUR"}}, "/body/price/amount"),
        ({"price": {"amount": "NaN", "currency": "EUR"}}, "/body/price"),
        ({"price": {"amount": "1", "currency": "euro"}}, "/body/price"),
        ({"title": ""}, "/body/title"),
        ({"description": "\u200b "}, "/body/description"),
        ({"capacity": 0}, "/body/capacity"),
        ({"seats_taken": 1}, "/body/seats_taken"),
    ],
)
async def test_what_is_no_course(teacher: Account, change: dict[str, Any], pointer: str) -> None:
    answer = await teacher.client.post("/api/v1/courses", json=MAPS | change)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"].startswith(pointer)


async def seat(p: RunningPlatform, course: CourseView, student_id: UUID) -> UUID:
    enrolment_id = new_id()
    await p.execute(Enrol(enrolment_id=enrolment_id, course_id=course.id, student_id=student_id))
    return enrolment_id


async def taken(p: RunningPlatform) -> int:
    [row] = await p.sql("SELECT seats_taken FROM courses.courses")
    return int(row["seats_taken"])


async def test_the_database_decides_who_gets_the_last_seat(platform: PlatformFactory) -> None:
    async with platform(["courses"]) as p:  # where nobody asks whether the students exist
        course = await make_course(p, capacity=3)
        outcomes = await asyncio.gather(
            *(seat(p, course, new_id()) for _ in range(20)), return_exceptions=True
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["CourseFull"] * 17 + ["UUID"] * 3
        assert await taken(p) == 3


async def test_nobody_has_two_seats_and_a_seat_that_was_given_back_is_free(
    p: RunningPlatform, eve: Account
) -> None:
    course = await make_course(p, capacity=1)
    first = await seat(p, course, eve.id)
    [own] = (await eve.client.get("/api/v1/enrolments")).json()["items"]
    assert (own["id"], own["course_title"]) == (str(first), course.title)
    for _ in range(2):
        await p.execute(WithdrawEnrolment(enrolment_id=first))
    await p.execute(WithdrawEnrolment(enrolment_id=new_id()))
    assert await taken(p) == 0
    assert (await eve.client.get("/api/v1/enrolments")).json()["items"] == []
    await seat(p, course, eve.id)
    with pytest.raises(CourseFull):
        await seat(p, course, new_id())


async def test_a_second_seat_for_the_same_student_is_refused(p: RunningPlatform, eve: Account) -> None:
    course = await make_course(p)
    await seat(p, course, eve.id)
    with pytest.raises(AlreadyEnrolled):
        await seat(p, course, eve.id)
    assert await taken(p) == 1


async def test_seeds_change_nothing_the_second_time(p: RunningPlatform) -> None:
    for _ in range(2):
        await p.seed(Tier.DEVELOPMENT)
    rows = await p.sql("SELECT title, capacity FROM courses.courses ORDER BY id")
    assert [row["capacity"] for row in rows] == [None, 12, 1]


async def test_reading_is_one_statement(p: RunningPlatform, eve: Account) -> None:
    course = await make_course(p)
    for path in ("/api/v1/courses", f"/api/v1/courses/{course.id}", "/api/v1/enrolments"):
        with p.count_statements() as traffic:
            await eve.client.get(path)
        assert [s.module for s in traffic.statements if s.module != "user_management"] == ["courses"]
