"""Who may do what in a project: a table of data, asked by commands and by the read side alike."""

from __future__ import annotations

import enum
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from project_management.contracts import Role
from project_management.domain.errors import RoleTooLow

OWNER: Final = "owner"


class Right(enum.Enum):
    """Something that can be done in a project."""

    READ = "read"
    WORK_ON_TASKS = "make, change and discuss tasks"
    LOG_TIME = "log time"
    MODERATE = "delete tasks and others' comments"
    PLAN = "set milestones"
    MANAGE_MEMBERS = "decide who takes part"
    OWN = "change the project itself, and its money"


_VIEWING: Final = frozenset({Right.READ})
_WORKING: Final = _VIEWING | {Right.WORK_ON_TASKS, Right.LOG_TIME}
_MANAGING: Final = _WORKING | {Right.MODERATE, Right.PLAN, Right.MANAGE_MEMBERS}

RIGHTS: Final[Mapping[Role, frozenset[Right]]] = {
    "viewer": _VIEWING,
    "member": _WORKING,
    "manager": _MANAGING,
    "owner": frozenset(Right),
}
"""Role → what it may; owners may everything."""


def roles_with(right: Right) -> tuple[Role, ...]:
    """Return every role that has a right."""
    return tuple(role for role, rights in RIGHTS.items() if right in rights)


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Somebody in a project."""

    project_id: UUID
    user_id: UUID
    role: Role
    joined_at: datetime

    @property
    def is_owner(self) -> bool:
        return self.role == OWNER

    def may(self, right: Right) -> bool:
        return right in RIGHTS[self.role]

    def require(self, right: Right) -> None:
        """
        Insist on a right.

        Raises:
            RoleTooLow: the role does not have it.
        """
        if not self.may(right):
            raise RoleTooLow(f"Your role in this project is {self.role}; it does not let you {right.value}.")


def heir(members: Iterable[Membership], working: Container[UUID]) -> Membership | None:
    """
    Return who answers for a project when its owner has gone: whose role may most, and of those who joined first.

    Args:
        working: accounts that can log in; any of them comes before everybody else, who may be let in again.
    """
    return max(
        sorted(members, key=lambda member: (member.joined_at, member.user_id)),
        key=lambda member: (member.user_id in working, len(RIGHTS[member.role])),
        default=None,
    )
