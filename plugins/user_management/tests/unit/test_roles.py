from datetime import UTC, datetime

import pytest

from platform_core.domain import new_id
from platform_core.errors import InvalidInput
from user_management.domain import ADMIN, ADMIN_ID, MEMBER, MEMBER_ID, BuiltInRole, Role

NOW = datetime(2026, 11, 23, tzinfo=UTC)
DECLARED = {"users:read", "users:write"}


def a_role(*permissions: str) -> Role:
    return Role.create(
        role_id=new_id(),
        name="support",
        description=None,
        permissions=permissions,
        declared=DECLARED,
        now=NOW,
    )


ADMINISTRATOR = Role.built_in(role_id=ADMIN_ID, name=ADMIN, description="", permissions=["*"], now=NOW)
MEMBERSHIP = Role.built_in(role_id=MEMBER_ID, name=MEMBER, description="", permissions=[], now=NOW)


def test_permissions_are_a_sorted_set() -> None:
    assert a_role("users:write", "users:read", "users:read").permissions == ["users:read", "users:write"]


@pytest.mark.parametrize("permission", ["*", "users:*", "nope", ""])
def test_a_permission_that_nobody_declares_is_pointed_at(permission: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        a_role("users:read", permission)
    assert [field.pointer for field in caught.value.fields] == ["/body/permissions/1"]


def test_a_permission_whose_module_is_gone_may_stay_but_not_come_back() -> None:
    role = a_role("users:read")
    role.permissions = ["files:read", "users:read"]
    role.permit(["files:read"], DECLARED, NOW)
    assert role.permissions == ["files:read"]
    role.permit([], DECLARED, NOW)
    with pytest.raises(InvalidInput):
        role.permit(["files:read"], DECLARED, NOW)


@pytest.mark.parametrize("name", ["", "Admin", "with space", "a/b", "-x", "a" * 65, "x\n"])
def test_a_role_name_fits_into_a_url(name: str) -> None:
    with pytest.raises(InvalidInput):
        a_role().rename(name, NOW)


def test_nobody_changes_the_administrators_role() -> None:
    for change in (
        lambda: ADMINISTRATOR.permit(["users:read"], DECLARED, NOW),
        lambda: ADMINISTRATOR.rename("root", NOW),
        lambda: ADMINISTRATOR.describe("", NOW),
        lambda: ADMINISTRATOR.delete(NOW),
    ):
        with pytest.raises(BuiltInRole):
            change()
    assert ADMINISTRATOR.permissions == ["*"]


def test_the_members_role_can_be_given_permissions_but_stays() -> None:
    MEMBERSHIP.permit(["users:read"], DECLARED, NOW)
    assert MEMBERSHIP.permissions == ["users:read"]
    for change in (lambda: MEMBERSHIP.rename("everybody", NOW), lambda: MEMBERSHIP.delete(NOW)):
        with pytest.raises(BuiltInRole):
            change()
