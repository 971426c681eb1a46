from collections.abc import Awaitable
from typing import Any

import pytest
from httpx2 import Response

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
        ({"description": "a bell: \x07"}, "/body/description"),
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


async def test_row_51_nobody_hands_out_what_they_do_not_hold(platform: PlatformFactory) -> None:
    """Neither to themselves nor to a second account of their own."""
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        keeper = await sign_up(p, "keeper", permissions=["roles:read", "roles:write", "users:write"])
        root = await sign_up(p, "root", permissions=["*"])
        for name, permissions in (("support", ["users:read"]), ("reader", ["roles:read"])):
            await root.client.post("/api/v1/roles", json={"name": name, "permissions": permissions})
        for who in (eve.id, keeper.id):
            roles = f"/api/v1/users/{who}/roles"
            for name in ("admin", "support"):
                await refused(keeper.client.put(f"{roles}/{name}"))
            assert (await keeper.client.put(f"{roles}/reader")).status_code == 204
        invited = {"email": "x@example.com", "username": "xxx"}
        for name in ("admin", "support"):
            await refused(keeper.client.post("/api/v1/users", json=invited | {"roles": [name]}))
        assert (
            await keeper.client.post("/api/v1/users", json=invited | {"roles": ["reader"]})
        ).status_code == 201
        assert (await root.client.put(f"/api/v1/users/{eve.id}/roles/admin")).status_code == 204


async def test_row_51_nobody_puts_into_a_role_what_they_do_not_hold(platform: PlatformFactory) -> None:
    """Whoever holds the role, or nobody yet; what the role allows already may stay."""
    async with platform(["user_management"], seed=essentials) as p:
        keeper = await sign_up(p, "keeper", permissions=["roles:read", "roles:write"])
        root = await sign_up(p, "root", permissions=["*"])
        wide, narrow = {"permissions": ["roles:read", "users:read"]}, {"permissions": ["users:read"]}
        await refused(keeper.client.post("/api/v1/roles", json={"name": "wide", **wide}))
        support = (await root.client.post("/api/v1/roles", json={"name": "support", **narrow})).json()
        own = (await keeper.client.post("/api/v1/roles", json={"name": "own", "permissions": []})).json()
        member = next(
            role
            for role in (await keeper.client.get("/api/v1/roles")).json()["items"]
            if role["name"] == "member"
        )
        for role in (own, member):
            await refused(keeper.client.patch(f"/api/v1/roles/{role['id']}", json=wide))
        path = f"/api/v1/roles/{support['id']}"
        for changes in (wide, narrow):
            assert (await keeper.client.patch(path, json=changes)).status_code == 200


async def test_row_51_nobody_takes_what_they_do_not_hold(platform: PlatformFactory) -> None:
    """A role's keeper disarms neither administrators nor anybody else whose work they do not do."""
    async with platform(["user_management"], seed=essentials) as p:
        keeper = await sign_up(p, "keeper", permissions=["roles:read", "roles:write"])
        root = await sign_up(p, "root", permissions=["*"])
        ben = await sign_up(p, "ben", permissions=["users:read"])
        spare = await sign_up(p, "spare", permissions=["*"])
        roles = {role["name"]: role for role in (await keeper.client.get("/api/v1/roles")).json()["items"]}
        bens = f"/api/v1/roles/{roles['ben']['id']}"
        await refused(keeper.client.delete(f"/api/v1/users/{root.id}/roles/admin"))
        await refused(keeper.client.delete(f"/api/v1/users/{ben.id}/roles/ben"))
        await refused(keeper.client.patch(bens, json={"permissions": []}))
        await refused(keeper.client.delete(bens))
        assert (await keeper.client.patch(bens, json={"description": "Reads"})).status_code == 200
        assert (await ben.client.get("/api/v1/users")).status_code == 200
        assert (await keeper.client.delete(f"/api/v1/users/{ben.id}/roles/member")).status_code == 204
        assert (await root.client.delete(bens)).status_code == 204
        assert (await root.client.delete(f"/api/v1/users/{spare.id}/roles/admin")).status_code == 204


async def refused(answer: Awaitable[Response]) -> None:
    problem = (await answer).json()
    assert (problem["status"], problem["type"]) == (403, "/problems/permissions-not-held")


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
