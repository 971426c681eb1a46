from typing import Any

import pytest

from platform_core.testing import PlatformFactory
from user_management.testing import essentials, sign_up


async def test_a_role_is_made_read_changed_and_deleted(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        root = await sign_up(p, "root", permissions=["*"])
        body = {"name": "support", "description": "Helps", "permissions": ["users:write", "users:read"]}
        made = await root.client.post("/api/v1/roles", json=body)
        assert made.status_code == 201
        role = made.json()
        assert role == {
            "id": role["id"],
            "name": "support",
            "description": "Helps",
            "permissions": ["users:read", "users:write"],
            "created_at": role["created_at"],
            "updated_at": role["updated_at"],
        }
        path = f"/api/v1/roles/{role['id']}"
        assert (await root.client.get(path)).json() == role
        changed = await root.client.patch(path, json={"name": "help", "description": None, "permissions": []})
        assert (changed.json()["name"], changed.json()["description"], changed.json()["permissions"]) == (
            "help",
            None,
            [],
        )
        assert [item["name"] for item in (await root.client.get("/api/v1/roles")).json()["items"]] == [
            "help",
            "member",
            "admin",
        ]
        for expected in (204, 404):
            assert (await root.client.delete(path)).status_code == expected
        assert (await root.client.get(path)).status_code == 404
        assert (await root.client.post("/api/v1/roles", json=body | {"name": "help"})).status_code == 201, (
            "the name is free"
        )


async def test_a_name_belongs_to_one_role(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        root = await sign_up(p, "root", permissions=["*"])
        for name in ("admin", "member"):
            answer = await root.client.post("/api/v1/roles", json={"name": name, "permissions": []})
            assert (answer.status_code, answer.json()["type"]) == (409, "/problems/role-name-taken")
        role = (await root.client.post("/api/v1/roles", json={"name": "x", "permissions": []})).json()
        answer = await root.client.patch(f"/api/v1/roles/{role['id']}", json={"name": "member"})
        assert answer.status_code == 409


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"permissions": ["users:read", "nope:read"]}, "/body/permissions/1"),
        ({"permissions": ["*"]}, "/body/permissions/0"),
        ({"permissions": "users:read"}, "/body/permissions"),
        ({"permissions": [7]}, "/body/permissions/0"),
        ({"name": "Not lower"}, "/body/name"),
        ({"name": ""}, "/body/name"),
        ({"name": "x" * 65}, "/body/name"),
        ({"description": "x" * 501}, "/body/description"),
        ({"id": "x"}, "/body/id"),
        ({"is_built_in": True}, "/body/is_built_in"),
    ],
)
async def test_what_breaks_a_rule_is_pointed_at(
    platform: PlatformFactory, changes: dict[str, Any], pointer: str
) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        root = await sign_up(p, "root", permissions=["*"])
        body = {"name": "support", "permissions": ["users:read"]}
        role = (await root.client.post("/api/v1/roles", json=body)).json()
        for answer in (
            await root.client.post("/api/v1/roles", json=body | {"name": "other"} | changes),
            await root.client.patch(f"/api/v1/roles/{role['id']}", json=changes),
        ):
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["pointer"] == pointer


async def test_the_roles_that_the_platform_relies_on_stay(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        root = await sign_up(p, "root", permissions=["*"])
        ids = {item["name"]: item["id"] for item in (await root.client.get("/api/v1/roles")).json()["items"]}
        admin, member = f"/api/v1/roles/{ids['admin']}", f"/api/v1/roles/{ids['member']}"
        for path, changes in (
            (admin, {"name": "root"}),
            (admin, {"permissions": []}),
            (admin, {"description": "x"}),
            (member, {"name": "everybody"}),
        ):
            answer = await root.client.patch(path, json=changes)
            assert (answer.status_code, answer.json()["type"]) == (409, "/problems/built-in-role")
        for path in (admin, member):
            assert (await root.client.delete(path)).status_code == 409
        answer = await root.client.patch(member, json={"permissions": ["users:read"]})
        assert answer.status_code == 200
        eve = await sign_up(p, "eve")
        assert (await eve.client.get("/api/v1/users")).status_code == 200


async def test_row_51_nobody_promotes_themselves(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        keeper = await sign_up(p, "keeper", permissions=["roles:read", "roles:write"])
        root = await sign_up(p, "root", permissions=["*"])
        for name, permissions in (("support", ["users:write"]), ("reader", ["roles:read"])):
            await root.client.post("/api/v1/roles", json={"name": name, "permissions": permissions})
        assert (await eve.client.put(f"/api/v1/users/{eve.id}/roles/admin")).status_code == 403
        own = f"/api/v1/users/{keeper.id}/roles"
        assert (await keeper.client.put(f"{own}/admin")).status_code == 403
        assert (await keeper.client.put(f"{own}/support")).status_code == 403
        assert (await keeper.client.put(f"{own}/reader")).status_code == 204
        assert (await keeper.client.put(f"/api/v1/users/{eve.id}/roles/support")).status_code == 204
        assert (await keeper.client.put(f"/api/v1/users/{eve.id}/roles/admin")).status_code == 403
        assert (await keeper.client.delete(f"/api/v1/users/{root.id}/roles/admin")).status_code == 403
        ids = {
            item["name"]: item["id"] for item in (await keeper.client.get("/api/v1/roles")).json()["items"]
        }
        widened = {"permissions": ["roles:read", "roles:write", "users:write"]}
        assert (await keeper.client.patch(f"/api/v1/roles/{ids['keeper']}", json=widened)).status_code == 403
        assert (await keeper.client.patch(f"/api/v1/roles/{ids['support']}", json=widened)).status_code == 200
        assert (await keeper.client.get("/api/v1/users")).status_code == 403


async def test_every_permission_of_every_module_is_listed(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        page = (await eve.client.get("/api/v1/permissions")).json()
        names = {item["name"]: item["module"] for item in page["items"]}
        assert page["next_cursor"] is None
        assert page["items"][0].keys() == {"name", "description", "module"}
        own = {name for name, module in names.items() if module == "user_management"}
        assert own == {"users:read", "users:write", "roles:read", "roles:write"}
        assert names["platform:read"] == "platform"
