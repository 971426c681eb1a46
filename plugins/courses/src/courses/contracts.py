"""
What courses promise to other modules: views, published events, a catalogue, and commands for others' sagas.

Imported through the facade, `from courses import Enrol`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Protocol, TypeAlias
from uuid import UUID

from platform_core.domain import Command, Event, Money
from platform_core.errors import DomainError, Kind, NotFound

CourseId: TypeAlias = UUID
EnrolmentId: TypeAlias = UUID


# ── Views ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class CourseView:
    """
    A course as everybody sees it.

    Attributes:
        capacity: seats; None is as many as want one.
        seats_taken: how many of them somebody has.
    """

    id: CourseId
    title: str
    description: str | None
    price: Money
    capacity: int | None
    seats_taken: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentView:
    """Somebody's seat in a course."""

    id: EnrolmentId
    course_id: CourseId
    course_title: str
    enrolled_at: datetime


# ── What is refused ──────────────────────────────────────────────────────────────────────────────


class CourseNotFound(NotFound):
    """There is no such course."""


class CourseFull(DomainError, kind=Kind.CONFLICT):
    """Every seat of this course is taken."""


class AlreadyEnrolled(DomainError, kind=Kind.CONFLICT):
    """There is a seat in this course for this student already."""


# ── Published events ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class CourseCreated(Event):
    """A course can be booked."""

    wire_name: ClassVar[str] = "courses.course_created"

    course_id: CourseId
    title: str


@dataclass(frozen=True, kw_only=True)
class StudentEnrolled(Event):
    """Somebody has a seat in a course."""

    wire_name: ClassVar[str] = "courses.student_enrolled"

    enrolment_id: EnrolmentId
    course_id: CourseId
    student_id: UUID


@dataclass(frozen=True, kw_only=True)
class EnrolmentWithdrawn(Event):
    """A seat is free again."""

    wire_name: ClassVar[str] = "courses.enrolment_withdrawn"

    enrolment_id: EnrolmentId
    course_id: CourseId
    student_id: UUID


# ── Steps of sagas ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class Enrol(Command[None]):
    """
    Give a student a seat; `CourseFull` or `AlreadyEnrolled` where that cannot be.

    Attributes:
        enrolment_id: chosen by whoever asks, so that they can name it when it is to be taken back.
    """

    enrolment_id: EnrolmentId
    course_id: CourseId
    student_id: UUID


@dataclass(frozen=True, kw_only=True)
class WithdrawEnrolment(Command[None]):
    """Give a seat free; one that was never taken, or is free already, is nothing to do."""

    enrolment_id: EnrolmentId


# ── Services that others may ask for ─────────────────────────────────────────────────────────────


class CourseCatalogue(Protocol):
    """What can be booked."""

    async def get(self, course_id: CourseId) -> CourseView | None:
        """Return one course, or None."""
        ...
