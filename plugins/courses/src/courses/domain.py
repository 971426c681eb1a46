"""Courses and the seats in them; how many there are is decided by the database, where all buyers meet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from courses.contracts import CourseCreated, EnrolmentWithdrawn, StudentEnrolled
from platform_core.domain import Aggregate, Money
from platform_core.money import checked, exact
from platform_core.texts import human_name, optional_text


@dataclass(eq=False, kw_only=True)
class Course(Aggregate):
    """
    Something to learn, for a price.

    Attributes:
        price_amount: with the decimals of its currency, and never negative.
        capacity: seats; None is as many as want one.
    """

    title: str
    description: str | None
    price_amount: Decimal
    price_currency: str
    capacity: int | None

    @classmethod
    def create(
        cls,
        course_id: UUID,
        *,
        title: str,
        description: str | None,
        price: Money,
        capacity: int | None,
        now: datetime,
    ) -> Course:
        """
        Make a course.

        Raises:
            InvalidInput: nobody can pay such a price, or read such a title or description.
        """
        price = checked(price, "price")
        course = cls(
            id=course_id,
            title=human_name(title, "title"),
            description=optional_text(description, "description"),
            price_amount=price.amount,
            price_currency=price.currency,
            capacity=capacity,
            created_at=now,
            updated_at=now,
        )
        course.record(CourseCreated(course_id=course_id, title=course.title))
        return course

    @property
    def price(self) -> Money:
        return exact(self.price_amount, self.price_currency)


@dataclass(eq=False, kw_only=True)
class Enrolment(Aggregate):
    """A student's seat in a course; withdrawn, it is deleted."""

    course_id: UUID
    student_id: UUID

    @classmethod
    def begin(cls, enrolment_id: UUID, *, course_id: UUID, student_id: UUID, now: datetime) -> Enrolment:
        """Take a seat."""
        enrolment = cls(
            id=enrolment_id, course_id=course_id, student_id=student_id, created_at=now, updated_at=now
        )
        enrolment.record(
            StudentEnrolled(enrolment_id=enrolment_id, course_id=course_id, student_id=student_id)
        )
        return enrolment

    def withdraw(self, now: datetime) -> None:
        """Give the seat free."""
        self.delete(now)
        self.record(
            EnrolmentWithdrawn(enrolment_id=self.id, course_id=self.course_id, student_id=self.student_id)
        )
