"""What a course may cost."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from courses.contracts import CourseCreated, EnrolmentWithdrawn, StudentEnrolled
from courses.domain import Course, Enrolment
from platform_core.domain import Money
from platform_core.errors import InvalidInput

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ID, STUDENT = UUID(int=1), UUID(int=2)


def course(amount: str) -> Course:
    price = Money(Decimal(amount), "EUR")
    return Course.create(ID, title="Maps", description=None, price=price, capacity=3, now=NOW)


@pytest.mark.parametrize("amount", ["0", "0.01", "49.9", "49.90", "49.900", "9999999999.99"])
def test_a_price_that_can_be_paid(amount: str) -> None:
    assert course(amount).price == Money(Decimal(amount), "EUR")
    assert course(amount).release_events() == [CourseCreated(course_id=ID, title="Maps")]


@pytest.mark.parametrize(
    ("amount", "code"),
    [("-0.01", "out_of_range"), ("10000000000", "out_of_range"), ("0.001", "too_precise")],
)
def test_a_price_that_nobody_can_pay(amount: str, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        course(amount)
    assert [(field.pointer, field.code) for field in refused.value.fields] == [("/body/price/amount", code)]


def test_a_seat_is_taken_and_given_back() -> None:
    enrolment = Enrolment.begin(ID, course_id=ID, student_id=STUDENT, now=NOW)
    enrolment.withdraw(NOW)
    assert enrolment.deleted_at == NOW
    assert [type(event) for event in enrolment.release_events()] == [StudentEnrolled, EnrolmentWithdrawn]
