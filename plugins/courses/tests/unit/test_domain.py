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


def course(amount: str, currency: str = "EUR") -> Course:
    price = Money(Decimal(amount), currency)
    return Course.create(ID, title="Maps", description=None, price=price, capacity=3, now=NOW)


def test_a_price_has_the_decimals_of_its_currency() -> None:
    """Which ones is the kernel's to know: tests/kernel/test_money.py."""
    one = course("4.9", "KWD")
    assert (str(one.price.amount), one.price.currency) == ("4.900", "KWD")
    assert one.release_events() == [CourseCreated(course_id=ID, title="Maps")]


@pytest.mark.parametrize(
    ("amount", "currency", "field"), [("-0.01", "EUR", "amount"), ("1", "XXX", "currency")]
)
def test_a_price_that_nobody_can_pay(amount: str, currency: str, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        course(amount, currency)
    assert [one.pointer for one in refused.value.fields] == [f"/body/price/{field}"]


@pytest.mark.parametrize("description", ["\x00\x01", "\u200b", " \n"])
def test_a_description_that_nobody_can_read(description: str) -> None:
    price = Money(Decimal(1), "EUR")
    with pytest.raises(InvalidInput) as refused:
        Course.create(ID, title="Maps", description=description, price=price, capacity=3, now=NOW)
    assert [one.pointer for one in refused.value.fields] == ["/body/description"]


def test_a_seat_is_taken_and_given_back() -> None:
    enrolment = Enrolment.begin(ID, course_id=ID, student_id=STUDENT, now=NOW)
    enrolment.withdraw(NOW)
    assert enrolment.deleted_at == NOW
    assert [type(event) for event in enrolment.release_events()] == [StudentEnrolled, EnrolmentWithdrawn]
