"""What can be done with courses and seats."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Protocol
from uuid import UUID

from annotated_types import Interval, Len

from courses.contracts import CourseView, Enrol, EnrolmentView, WithdrawEnrolment
from courses.domain import Course, Enrolment
from platform_core.domain import Command, Money, Page, PageRequest, Query, new_id
from platform_core.ports import Clock

Title = Annotated[str, Len(1, 200)]
Description = Annotated[str, Len(0, 5000)]
Capacity = Annotated[int, Interval(ge=1, le=1_000_000)]


class CourseRepository(Protocol):
    """Courses, for commands."""

    def add(self, aggregate: Course) -> None: ...

    async def has_title(self, title: str) -> bool:
        """Tell whether there is a course of this title."""
        ...


class EnrolmentRepository(Protocol):
    """Seats, for commands; both sides of each change are one statement, in which the database counts."""

    def take_seat(self, enrolment: Enrolment) -> None:
        """Keep a new enrolment, if the course has a free seat and the student none."""
        ...

    async def find_enrolment(self, enrolment_id: UUID) -> Enrolment | None:
        """Return one that was not withdrawn."""
        ...

    def free_seat(self, enrolment: Enrolment) -> None:
        """Let the course have a free seat more."""
        ...


@dataclass(frozen=True, kw_only=True)
class CreateCourse(Command[CourseView]):
    """Offer a course."""

    title: Title
    description: Description | None = None
    price: Money
    capacity: Capacity | None = None


@dataclass(frozen=True, kw_only=True)
class EnsureCourse(Command[None]):
    """Offer a course unless there is one of this title; for seeds."""

    title: Title
    description: Description
    price: Money
    capacity: Capacity | None = None
    course_id: UUID = field(default_factory=new_id)


@dataclass(frozen=True, kw_only=True)
class GetCourse(Query[CourseView]):
    """One course."""

    course_id: UUID


@dataclass(frozen=True, kw_only=True)
class ListCourses(Query[Page[CourseView]]):
    """Every course, the newest first."""

    page: PageRequest


@dataclass(frozen=True, kw_only=True)
class ListEnrolments(Query[Page[EnrolmentView]]):
    """The caller's own seats, the newest first."""

    page: PageRequest


async def create_course(command: CreateCourse, courses: CourseRepository, clock: Clock) -> CourseView:
    """Handle `CreateCourse`."""
    course = Course.create(
        new_id(),
        title=command.title,
        description=command.description,
        price=command.price,
        capacity=command.capacity,
        now=clock.now(),
    )
    courses.add(course)
    return CourseView(
        id=course.id,
        title=course.title,
        description=course.description,
        price=course.price,
        capacity=course.capacity,
        seats_taken=0,
        created_at=course.created_at,
        updated_at=course.updated_at,
    )


async def ensure_course(command: EnsureCourse, courses: CourseRepository, clock: Clock) -> None:
    """Handle `EnsureCourse`."""
    if await courses.has_title(command.title):
        return
    courses.add(
        Course.create(
            command.course_id,
            title=command.title,
            description=command.description,
            price=command.price,
            capacity=command.capacity,
            now=clock.now(),
        )
    )


async def enrol(command: Enrol, enrolments: EnrolmentRepository, clock: Clock) -> None:
    """Handle `Enrol`."""
    enrolments.take_seat(
        Enrolment.begin(
            command.enrolment_id,
            course_id=command.course_id,
            student_id=command.student_id,
            now=clock.now(),
        )
    )


async def withdraw_enrolment(
    command: WithdrawEnrolment, enrolments: EnrolmentRepository, clock: Clock
) -> None:
    """Handle `WithdrawEnrolment`."""
    enrolment = await enrolments.find_enrolment(command.enrolment_id)
    if enrolment is not None:
        enrolment.withdraw(clock.now())
        enrolments.free_seat(enrolment)
