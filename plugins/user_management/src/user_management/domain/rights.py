"""
The one rule about rights: nobody gives or takes permissions that they do not hold themselves.

It needs no lock. A role may grow between the look at it and the commit, but whoever adds to it holds what they add, and
decides for everybody who has the role by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from user_management.domain.errors import PermissionsNotHeld
from user_management.domain.roles import Role


def permissions_of(roles: Iterable[Role]) -> set[str]:
    """Return what somebody may do who holds all of `roles`."""
    return {name for role in roles for name in role.permissions}


def check_reach(can: Callable[[str], bool], permissions: Iterable[str]) -> None:
    """
    Refuse to move permissions that are beyond the caller's own.

    A role that is given, taken or deleted moves what it allows, one that is changed moves the difference. Whoever
    renames, disables, enables or deletes an account decides over all that the account may do.

    Args:
        can: whether the caller holds a permission, by name or through `*`.
        permissions: those that somebody would get, lose, or be kept from using.

    Raises:
        PermissionsNotHeld: the caller lacks one of them. Which one is not told: they may be another person's.
    """
    if not all(map(can, permissions)):
        raise PermissionsNotHeld
