"""
Rules about memberships that both check a single one and filter lists, in Python and in SQL.

A value may be a column or a parameter of a statement too: the read side builds its statements from the very same rules.
"""

from __future__ import annotations

from typing import Any

from platform_core.domain import Specification, Where
from project_management.domain.roles import Membership, Right, roles_with


def visible_to(user_id: Any) -> Specification[Membership]:
    """Projects, and everything in them, are seen by those who are in them, whatever their role."""
    return Where("user_id", "==", user_id)


def assignable_in(project_id: Any) -> Specification[Membership]:
    """Tasks of a project can be assigned to, and comments can mention, those who are in it."""
    return Where("project_id", "==", project_id)


def holding(right: Right) -> Specification[Membership]:
    """Those whose role has a right."""
    return Where("role", "in", roles_with(right))
