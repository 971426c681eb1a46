"""What a project makes of amounts."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from platform_core.domain import Money, new_id
from platform_core.errors import InvalidInput
from project_management.contracts import ProjectUpdated
from project_management.domain import CurrencyMismatch, LastOwner, Membership, Project

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def project(budget: Money | None = None, **fields: date | None) -> Project:
    return Project.create(
        project_id=new_id(),
        owner_id=new_id(),
        name="House",
        description=None,
        budget=budget,
        start_date=fields.get("start_date"),
        end_date=fields.get("end_date"),
        now=NOW,
    )


def test_a_project_counts_in_the_currency_of_its_budget_or_first_expense() -> None:
    one = project()
    assert (one.budget, one.currency) == (None, None)
    assert one.spend(Money(Decimal(3), "USD"), NOW) == Money(Decimal("3.00"), "USD")
    with pytest.raises(CurrencyMismatch, match="USD, not in EUR") as refused:
        one.spend(Money(Decimal(3), "EUR"), NOW)
    assert refused.value.fields[0].pointer == "/body/amount/currency"
    with pytest.raises(InvalidInput):
        one.spend(Money(Decimal(0), "USD"), NOW)
    two = project(Money(Decimal(0), "EUR"))
    assert two.budget == Money(Decimal("0.00"), "EUR")
    assert two.spend(Money(Decimal(99), "EUR"), NOW), "more than was budgeted"


def test_a_project_does_not_end_before_it_starts() -> None:
    first, second = date(2026, 1, 1), date(2026, 1, 2)
    assert project(start_date=first, end_date=first)
    with pytest.raises(InvalidInput) as refused:
        project(start_date=second, end_date=first)
    assert refused.value.fields[0].pointer == "/body/end_date"


def test_only_what_changed_is_told() -> None:
    one = project()
    one.mark_stored()
    one.release_events()
    same = {"description": None, "budget": None, "start_date": None, "end_date": None}
    one.describe(name="House ", now=NOW, **same)  # type: ignore[arg-type]  # one mapping of many types
    assert (one.version, one.release_events()) == (1, [])
    one.describe(name="Garden", now=NOW, **same)  # type: ignore[arg-type]  # as above
    [event] = one.release_events()
    assert isinstance(event, ProjectUpdated)
    assert event.fields == ["name"]


def test_a_project_keeps_an_owner_and_the_longest_one_follows() -> None:
    one = project()
    one.mark_stored()
    first, second, third = (
        Membership(project_id=one.id, user_id=user_id, role="owner", joined_at=NOW)
        for user_id in (one.owner_id, new_id(), new_id())
    )
    with pytest.raises(LastOwner):
        one.release_owner(first.user_id, [first], NOW)
    one.release_owner(third.user_id, [first, second, third], NOW)
    assert (one.owner_id, one.version) == (first.user_id, 2)
    one.release_owner(first.user_id, [first, second], NOW)
    assert one.owner_id == second.user_id
