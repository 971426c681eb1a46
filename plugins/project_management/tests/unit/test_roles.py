"""Who may what: the table of the README, as data."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from platform_core.domain import new_id
from project_management.contracts import Role
from project_management.domain import Membership, Right, RoleTooLow, assignable_in, holding, visible_to
from project_management.domain.roles import RIGHTS, roles_with

NOW = datetime(2026, 11, 23, tzinfo=UTC)

TABLE: dict[Right, set[str]] = {
    Right.READ: {"viewer", "member", "manager", "owner"},
    Right.WORK_ON_TASKS: {"member", "manager", "owner"},
    Right.LOG_TIME: {"member", "manager", "owner"},
    Right.MODERATE: {"manager", "owner"},
    Right.PLAN: {"manager", "owner"},
    Right.MANAGE_MEMBERS: {"manager", "owner"},
    Right.OWN: {"owner"},
}


def membership(role: Role) -> Membership:
    return Membership(project_id=new_id(), user_id=new_id(), role=role, joined_at=NOW)


@pytest.mark.parametrize("right", Right)
def test_a_right_belongs_to_these_roles_and_no_others(right: Right) -> None:
    assert set(roles_with(right)) == TABLE[right]
    for role in RIGHTS:
        if role in TABLE[right]:
            membership(role).require(right)
        else:
            with pytest.raises(RoleTooLow, match=role):
                membership(role).require(right)


def test_the_rules_of_lists_check_a_single_membership_too() -> None:
    member = membership("member")
    assert visible_to(member.user_id).is_satisfied_by(member)
    assert not visible_to(new_id()).is_satisfied_by(member)
    assert assignable_in(member.project_id).is_satisfied_by(member)
    assert not assignable_in(new_id()).is_satisfied_by(member)
    assert holding(Right.LOG_TIME).is_satisfied_by(member)
    assert not (assignable_in(member.project_id) & holding(Right.OWN)).is_satisfied_by(member)
