"""The tables of courses, what lies in them, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    Uuid,
    bindparam,
    or_,
    select,
    text,
    update,
)

from courses.application import GetCourse, ListCourses, ListEnrolments
from courses.contracts import AlreadyEnrolled, CourseFull, CourseId, CourseNotFound, CourseView, EnrolmentView
from courses.domain import Course, Enrolment
from platform_core.db import AggregateMap, Reads, Repository, aggregate_columns, module_metadata
from platform_core.domain import Page
from platform_core.money import exact
from platform_core.security import Principal

METADATA: Final = module_metadata("courses")

_THERE: Final = text("deleted_at IS NULL")

courses = Table(
    "courses",
    METADATA,
    *aggregate_columns(),
    Column("title", Text, nullable=False),
    Column("description", Text),
    Column("price_amount", Numeric, nullable=False),
    Column("price_currency", Text, nullable=False),
    Column("capacity", Integer),
    Column("seats_taken", Integer, nullable=False, server_default="0"),
    CheckConstraint("price_amount >= 0", name="price_amount"),
    CheckConstraint("seats_taken BETWEEN 0 AND COALESCE(capacity, seats_taken)", name="seats_taken"),
    Index("ix_courses_title", "title", postgresql_where=_THERE),
    comment="What can be learned; seats_taken is changed by the statement that takes or frees a seat.",
)

enrolments = Table(
    "enrolments",
    METADATA,
    *aggregate_columns(),
    Column("course_id", Uuid, ForeignKey(courses.c.id), nullable=False),
    Column("student_id", Uuid, nullable=False),
    Index("uq_enrolments_student_id", "student_id", "course_id", unique=True, postgresql_where=_THERE),
    Index("ix_enrolments_course_id", "course_id"),
    comment="Who has a seat in which course; withdrawn ones are deleted.",
)

COURSES: Final = AggregateMap(Course, courses, name="courses.course")
ENROLMENTS: Final = AggregateMap(
    Enrolment,
    enrolments,
    name="courses.enrolment",
    constraints={"uq_enrolments_student_id": AlreadyEnrolled},
)

_COURSE: Final = (
    courses.c.id,
    courses.c.title,
    courses.c.description,
    courses.c.price_amount,
    courses.c.price_currency,
    courses.c.capacity,
    courses.c.seats_taken,
    courses.c.created_at,
    courses.c.updated_at,
)
_ALL: Final = select(*_COURSE).where(courses.c.deleted_at.is_(None))
_ONE: Final = _ALL.where(courses.c.id == bindparam("course_id"))
_TITLED: Final = select(courses.c.id).where(
    courses.c.title == bindparam("title"), courses.c.deleted_at.is_(None)
)
_OWN: Final = (
    select(
        enrolments.c.id,
        enrolments.c.course_id,
        courses.c.title.label("course_title"),
        enrolments.c.created_at.label("enrolled_at"),
    )
    .join(courses, courses.c.id == enrolments.c.course_id)
    .where(enrolments.c.student_id == bindparam("student_id"), enrolments.c.deleted_at.is_(None))
)


# ── for commands ─────────────────────────────────────────────────────────────────────────────────


class SqlCourseRepository(Repository[Course]):
    """Courses, for commands."""

    mapping: ClassVar[AggregateMap[Any]] = COURSES
    missing = CourseNotFound

    async def has_title(self, title: str) -> bool:
        return await self.uow.fetch_one(_TITLED, {"title": title}) is not None


class SqlEnrolmentRepository(Repository[Enrolment]):
    """Seats, for commands."""

    mapping: ClassVar[AggregateMap[Any]] = ENROLMENTS

    def take_seat(self, enrolment: Enrolment) -> None:
        """Fifty buyers of one seat queue at the course's row; each sees what the one before left."""
        self.add(enrolment)
        has_room = or_(courses.c.capacity.is_(None), courses.c.seats_taken < courses.c.capacity)
        self.uow.write(
            update(courses)
            .where(courses.c.id == enrolment.course_id, has_room)
            .values(seats_taken=courses.c.seats_taken + 1),
            expect=1,
            otherwise=CourseFull,
        )

    async def find_enrolment(self, enrolment_id: UUID) -> Enrolment | None:
        return await self.find(enrolments.c.id == enrolment_id)

    def free_seat(self, enrolment: Enrolment) -> None:
        self.uow.write(
            update(courses)
            .where(courses.c.id == enrolment.course_id)
            .values(seats_taken=courses.c.seats_taken - 1),
            expect=1,
        )


# ── for queries and other modules ────────────────────────────────────────────────────────────────


class SqlCourseCatalogue:
    """`CourseCatalogue` on the read side."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def get(self, course_id: CourseId) -> CourseView | None:
        row = await self._reads.one(_ONE, {"course_id": course_id})
        return None if row is None else _course(row)


async def get_course(query: GetCourse, reads: Reads) -> CourseView:
    row = await reads.one(_ONE, {"course_id": query.course_id})
    if row is None:
        raise CourseNotFound
    return _course(row)


async def list_courses(query: ListCourses, reads: Reads) -> Page[CourseView]:
    return await reads.page(_ALL, query.page, _course, order=(courses.c.id,))


async def list_enrolments(query: ListEnrolments, reads: Reads, principal: Principal) -> Page[EnrolmentView]:
    return await reads.page(
        _OWN,
        query.page,
        lambda row: EnrolmentView(**row),
        order=(enrolments.c.id,),
        values={"student_id": principal.require_user()},
    )


def _course(row: Mapping[str, Any]) -> CourseView:
    plain = {name: row[name] for name in CourseView.__dataclass_fields__ if name != "price"}
    return CourseView(**plain, price=exact(row["price_amount"], row["price_currency"]))
