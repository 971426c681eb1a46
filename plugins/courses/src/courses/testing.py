"""For tests, of this plugin and of those that need courses."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final
from uuid import UUID

from courses.application import CreateCourse
from courses.contracts import Enrol
from platform_core.domain import Money, new_id

if TYPE_CHECKING:
    from courses.contracts import CourseView
    from platform_core.testing import RunningPlatform

__all__ = ["FACTORIES", "enrol", "make_course", "settings_for_tests"]


def settings_for_tests() -> Mapping[str, str]:
    """Return what this plugin needs to start under test: nothing."""
    return {}


async def make_course(
    p: RunningPlatform, title: str = "Reading maps", *, price: str = "49.90", capacity: int | None = None
) -> CourseView:
    """Offer a course in euros."""
    money = Money(Decimal(price), "EUR")
    return await p.execute(CreateCourse(title=title, price=money, capacity=capacity))


async def enrol(p: RunningPlatform, course: CourseView, student_id: UUID) -> UUID:
    """Give a student a seat; return the enrolment's id."""
    enrolment_id = new_id()
    await p.execute(Enrol(enrolment_id=enrolment_id, course_id=course.id, student_id=student_id))
    return enrolment_id


FACTORIES: Final = {"courses.course": make_course, "courses.enrolment": enrol}
"""What makes one of each aggregate."""
