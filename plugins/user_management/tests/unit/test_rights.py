from datetime import UTC, datetime

import pytest

from platform_core.domain import new_id
from platform_core.security import SYSTEM, Principal
from user_management.domain import (
    ADMIN,
    ADMIN_ID,
    PermissionsNotHeld,
    Role,
    check_reach,
    permissions_of,
)

NOW = datetime(2026, 11, 23, tzinfo=UTC)
KEEPER = Principal(user_id=new_id(), permissions=frozenset({"roles:write", "users:read"}))
ADMINISTRATOR = Role.built_in(role_id=ADMIN_ID, name=ADMIN, description="", permissions=["*"], now=NOW)


def a_role(*permissions: str) -> Role:
    return Role.create(
        role_id=new_id(),
        name="some",
        description=None,
        permissions=permissions,
        declared=permissions,
        now=NOW,
    )


def test_several_roles_allow_what_any_of_them_allows() -> None:
    assert permissions_of([a_role("a:read", "b:read"), a_role("b:read"), a_role()]) == {"a:read", "b:read"}


@pytest.mark.parametrize("permissions", [set(), {"users:read"}, {"users:read", "roles:write"}])
def test_what_somebody_holds_is_theirs_to_give_and_take(permissions: set[str]) -> None:
    check_reach(KEEPER.can, permissions)


@pytest.mark.parametrize("permissions", [{"users:write"}, {"users:read", "users:write"}, {"*"}])
def test_what_is_beyond_is_not_and_the_answer_names_nothing(permissions: set[str]) -> None:
    with pytest.raises(PermissionsNotHeld) as caught:
        check_reach(KEEPER.can, permissions)
    assert "users:write" not in caught.value.message


def test_who_may_do_everything_may_make_others_who_do() -> None:
    check_reach(SYSTEM.can, permissions_of([ADMINISTRATOR, a_role("gone:read")]))
