import asyncio
from typing import Any

import pytest

from platform_core.testing import PlatformFactory
from user_management import RoleAssigned, UserDeleted, UserInvited, UserRenamed
from user_management.testing import PASSWORD, Account, essentials, log_in, sign_up

PROFILE = {
    "locale": "de",
    "timezone": "Europe/Berlin",
    "phone_number": "+49 30 1234567",
    "avatar_url": "https://a.example/x.png",
}


async def test_the_own_account_shows_the_profile_and_can_be_changed(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        me = (await eve.client.get("/api/v1/users/me")).json()
        assert {key: me[key] for key in PROFILE} == dict.fromkeys(PROFILE)
        p.clock.advance(minutes=1)
        changed = await eve.client.patch(
            "/api/v1/users/me", json=PROFILE | {"full_name": "Eve", "username": "eve2"}
        )
        assert changed.status_code == 200
        assert changed.json() == me | PROFILE | {
            "full_name": "Eve",
            "username": "eve2",
            "updated_at": changed.json()["updated_at"],
        }
        assert (await eve.client.get("/api/v1/users/me")).json() == changed.json()
        assert [(event.username, event.full_name) for event in await p.events(UserRenamed)] == [
            ("eve2", "Eve")
        ]
        cleared = await eve.client.patch("/api/v1/users/me", json=dict.fromkeys([*PROFILE, "full_name"]))
        assert {key: cleared.json()[key] for key in PROFILE} == dict.fromkeys(PROFILE)
        assert (cleared.json()["full_name"], cleared.json()["username"]) == (None, "eve2")


async def test_what_is_absent_stays(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        await eve.client.patch("/api/v1/users/me", json=PROFILE)
        answer = await eve.client.patch("/api/v1/users/me", json={"locale": "fr"})
        assert {key: answer.json()[key] for key in PROFILE} == PROFILE | {"locale": "fr"}
        assert (await eve.client.patch("/api/v1/users/me", json={})).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"username": None},
        {"username": "a b"},
        {"timezone": "Mars/Olympus"},
        {"locale": "german!"},
        {"phone_number": "call me"},
        {"avatar_url": "http://169.254.169.254/latest/meta-data"},
        {"avatar_url": "javascript:alert(1)"},
        {"full_name": "x" * 201},
        {"email": "new@example.com"},
        {"email_verified": True},
        {"is_active": False},
        {"is_admin": True},
        {"role": "admin"},
        {"roles": ["admin"]},
        {"role_ids": []},
        {"owner_id": "x"},
        {"id": "01a20642-0c8c-7e6e-b94c-e5b378cc4910"},
        {"password": "a long enough sentence"},
        {"password_hash": "x"},
        {"created_at": "2020-01-01T00:00:00Z"},
        {"deleted_at": None},
        {"version": 7},
    ],
)
async def test_row_52_nobody_changes_more_of_themselves_than_they_may(
    platform: PlatformFactory, changes: dict[str, Any]
) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        before = await p.sql("SELECT * FROM user_management.users")
        answer = await eve.client.patch("/api/v1/users/me", json=changes)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["pointer"].startswith(f"/body/{next(iter(changes))}")
        assert await p.sql("SELECT * FROM user_management.users") == before


@pytest.mark.parametrize(
    "changes",
    [
        {"email": "x@example.com"},
        {"email_verified": True},
        {"roles": ["admin"]},
        {"id": "x"},
        {"is_active": None},
    ],
)
async def test_row_52_nor_of_others(platform: PlatformFactory, changes: dict[str, Any]) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        helper, eve = await sign_up(p, "helper", permissions=["users:write"]), await sign_up(p, "eve")
        before = await p.sql("SELECT * FROM user_management.users WHERE username = 'eve'")
        assert (await helper.client.patch(f"/api/v1/users/{eve.id}", json=changes)).status_code == 422
        assert await p.sql("SELECT * FROM user_management.users WHERE username = 'eve'") == before


async def test_a_username_that_somebody_has_cannot_be_taken(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve, root = await sign_up(p, "eve"), await sign_up(p, "root", permissions=["*"])
        for client, path in ((eve.client, "/api/v1/users/me"), (root.client, f"/api/v1/users/{eve.id}")):
            answer = await client.patch(path, json={"username": "ROOT"})
            assert (answer.status_code, answer.json()["type"]) == (409, "/problems/username-taken")


async def test_row_53_no_answer_holds_more_than_the_contract_says(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        root, eve = await sign_up(p, "root", permissions=["*"]), await sign_up(p, "eve")
        fields = [
            "id",
            "email",
            "username",
            "full_name",
            "is_active",
            "email_verified",
            "roles",
            "last_login_at",
            "created_at",
            "updated_at",
        ]
        one = (await root.client.get(f"/api/v1/users/{eve.id}")).json()
        assert list(one) == fields
        assert [list(item) for item in (await root.client.get("/api/v1/users")).json()["items"]] == [
            fields,
            fields,
        ]
        assert list((await eve.client.get("/api/v1/users/me")).json()) == [*fields, *PROFILE]


async def test_accounts_are_found_by_any_part_of_their_names(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        root = await sign_up(p, "root", permissions=["*"])
        for username, full_name in (("anna", "Anna 100% Abel"), ("ben_b", "Ben\\Brandt"), ("benxb", None)):
            user = await sign_up(p, username)
            await user.client.patch("/api/v1/users/me", json={"full_name": full_name})

        async def found(q: str) -> list[str]:
            answer = await root.client.get("/api/v1/users", params={"q": q})
            assert answer.status_code == 200
            return [user["username"] for user in answer.json()["items"]]

        assert await found("ANNA@") == ["anna"]
        assert await found("abel") == ["anna"]
        assert await found("ben_b") == ["ben_b"], "_ is no wildcard"
        assert await found("100%") == ["anna"]
        assert await found("%") == ["anna"]
        assert await found("n\\b") == ["ben_b"]
        assert await found("example.com") == ["benxb", "ben_b", "anna", "root"], "newest first"
        assert await found("' OR 1=1--") == []
        assert (await root.client.get("/api/v1/users", params={"q": "x" * 201})).status_code == 422


async def test_pages_show_everybody_once_while_people_register(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        root = await sign_up(p, "root", permissions=["*"])
        for n in range(6):
            await sign_up(p, f"user{n}")
        seen: list[str] = []
        cursor: str | None = None
        while True:
            params = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
            page = (await root.client.get("/api/v1/users", params=params)).json()
            seen += [user["username"] for user in page["items"]]
            await sign_up(p, f"late{len(seen)}")
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == ["user5", "user4", "user3", "user2", "user1", "user0", "root"]


async def test_row_54_the_deleted_are_nowhere(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        root, eve = await sign_up(p, "root", permissions=["*"]), await sign_up(p, "eve")
        path = f"/api/v1/users/{eve.id}"
        assert (await root.client.delete(path)).status_code == 204
        assert (await root.client.get(path)).status_code == 404
        assert (await root.client.patch(path, json={"full_name": "x"})).status_code == 404
        assert (await root.client.patch(path, json={"nonsense": 1})).status_code == 404, (
            "before the body is looked at"
        )
        assert (await root.client.delete(path)).status_code == 404
        assert (await root.client.put(f"{path}/roles/admin")).status_code == 404
        assert [user["username"] for user in (await root.client.get("/api/v1/users")).json()["items"]] == [
            "root"
        ]
        assert (await root.client.get("/api/v1/users", params={"q": "eve"})).json()["items"] == []
        assert [event.user_id for event in await p.events(UserDeleted)] == [eve.id]


async def test_inviting_makes_an_account_without_a_password(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        root = await sign_up(p, "root", permissions=["*"])
        body = {"email": "new@example.com", "username": "new", "roles": ["member", "admin"]}
        answer = await root.client.post("/api/v1/users", json=body)
        assert (answer.status_code, answer.json()["roles"]) == (201, ["admin", "member"])
        assert [event.email for event in await p.events(UserInvited)] == ["new@example.com"]
        again = await root.client.post("/api/v1/users", json=body | {"username": "new2"})
        assert (again.status_code, again.json()["type"]) == (409, "/problems/email-taken")
        unknown = {"email": "x@example.com", "username": "xxx", "roles": ["member", "nope"]}
        refused = await root.client.post("/api/v1/users", json=unknown)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/body/roles/1")


async def test_who_may_not_give_roles_invites_members_only(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        helper = await sign_up(p, "helper", permissions=["users:write"])
        keeper = await sign_up(p, "keeper", permissions=["users:write", "roles:write"])
        body = {"email": "new@example.com", "username": "new"}
        for caller, roles, status in (
            (helper, ["helper"], 403),
            (helper, ["admin"], 403),
            (keeper, ["admin"], 403),
            (keeper, ["helper"], 201),
        ):
            assert (
                await caller.client.post("/api/v1/users", json=body | {"roles": roles})
            ).status_code == status
        plain = {"email": "new2@example.com", "username": "new2"}
        assert (await helper.client.post("/api/v1/users", json=plain)).status_code == 201


async def test_row_51_the_last_administrator_stays(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        root = await sign_up(p, "root", permissions=["*"])
        path = f"/api/v1/users/{root.id}"
        for attempt in (
            root.client.delete(f"{path}/roles/admin"),
            root.client.delete(path),
            root.client.patch(path, json={"is_active": False}),
        ):
            answer = await attempt
            assert (answer.status_code, answer.json()["type"]) == (409, "/problems/last-administrator")
        body = {"email": "new@example.com", "username": "new", "roles": ["admin"]}
        await root.client.post("/api/v1/users", json=body)
        answer = await root.client.delete(f"{path}/roles/admin")
        assert answer.status_code == 409, "who was invited cannot log in yet"
        second = await sign_up(p, "second", permissions=["*"])
        assert (await second.client.delete(path)).status_code == 204


@pytest.mark.parametrize("how", ["revoke", "disable", "delete"])
async def test_row_51_two_administrators_who_go_at_once_do_not_both_go(
    platform: PlatformFactory, how: str
) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        for number in range(3):
            one = await sign_up(p, f"one{number}", permissions=["*"])
            two = await sign_up(p, f"two{number}", permissions=["*"])
            others = await p.sql(
                "UPDATE user_management.users SET is_active = false WHERE id NOT IN (%(one)s, %(two)s) RETURNING id",
                one=one.id,
                two=two.id,
            )
            assert len(others) == number * 2

            async def go(client: Any, user_id: Any) -> int:
                path = f"/api/v1/users/{user_id}"
                if how == "revoke":
                    return int((await client.delete(f"{path}/roles/admin")).status_code)
                if how == "delete":
                    return int((await client.delete(path)).status_code)
                return int((await client.patch(path, json={"is_active": False})).status_code)

            statuses = await asyncio.gather(go(one.client, one.id), go(two.client, two.id))
            assert sorted(status // 100 for status in statuses) == [2, 4], statuses
            assert 409 in statuses


@pytest.mark.parametrize(
    "changes", [{"is_active": False}, {"is_active": True}, {"username": "mallory"}, {}, None]
)
async def test_row_51_nobody_decides_over_who_may_do_more_than_they(
    platform: PlatformFactory, changes: dict[str, Any] | None
) -> None:
    """Neither disabling, enabling, renaming nor deleting (None); those who may do less, and oneself, are fair game."""
    async with platform(["user_management"], seed=essentials) as p:
        helper = await sign_up(p, "helper", permissions=["users:read", "users:write"])
        others = [
            await sign_up(p, "root", permissions=["*"]),
            await sign_up(p, "spare", permissions=["*"]),
            await sign_up(p, "keeper", permissions=["users:read", "roles:read"]),
        ]

        async def decide(user: Account) -> tuple[int, str]:
            path = f"/api/v1/users/{user.id}"
            if changes is None:
                answer = await helper.client.delete(path)
            else:
                answer = await helper.client.patch(path, json=changes)
            return answer.status_code, answer.text

        before = await p.sql("SELECT * FROM user_management.users ORDER BY id")
        for user in others:
            status, text = await decide(user)
            assert (status, "/problems/permissions-not-held" in text) == (403, True), text
        assert await p.sql("SELECT * FROM user_management.users ORDER BY id") == before
        for user in (await sign_up(p, "reader", permissions=["users:read"]), helper):
            status, text = await decide(user)
            assert status in (200, 204) or "/problems/username-taken" in text


async def test_row_50_a_role_takes_effect_with_the_next_request(platform: PlatformFactory) -> None:
    async with (
        platform(["user_management"], seed=essentials) as p,
        platform(["user_management"], beside=p) as q,
    ):
        root, eve = await sign_up(p, "root", permissions=["*"]), await sign_up(p, "eve")
        role = {"name": "support", "permissions": ["users:read"]}
        role_id = (await root.client.post("/api/v1/roles", json=role)).json()["id"]
        clients = [replica.new_client({"Authorization": f"Bearer {eve.access_token}"}) for replica in (p, q)]

        async def everywhere(expected: int) -> None:
            for client in clients:
                assert (await client.get("/api/v1/users")).status_code == expected

        await everywhere(403)
        path = f"/api/v1/users/{eve.id}/roles/support"
        for _ in range(2):
            assert (await root.client.put(path)).status_code == 204
            await everywhere(200)
        await root.client.patch(f"/api/v1/roles/{role_id}", json={"permissions": ["roles:read"]})
        await everywhere(403)
        await root.client.patch(f"/api/v1/roles/{role_id}", json={"permissions": ["users:read"]})
        await everywhere(200)
        for _ in range(2):
            assert (await root.client.delete(path)).status_code == 204
            await everywhere(403)
        await root.client.put(path)
        await everywhere(200)
        assert (await root.client.delete(f"/api/v1/roles/{role_id}")).status_code == 204
        await everywhere(403)
        assert (await root.client.put(path)).status_code == 404
        assert len(await p.events(RoleAssigned)) == 3, "root's own, and two real changes"


async def test_disabling_and_enabling(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        root, eve = await sign_up(p, "root", permissions=["*"]), await sign_up(p, "eve")
        path = f"/api/v1/users/{eve.id}"
        for _ in range(2):
            assert (await root.client.patch(path, json={"is_active": False})).json()["is_active"] is False
        credentials = {"email": eve.email, "password": PASSWORD}
        assert (await p.client.post("/api/v1/auth/login", json=credentials)).status_code == 401
        assert (await root.client.patch(path, json={"is_active": True})).json()["is_active"] is True
        await log_in(p, eve.email)


async def test_a_stale_change_is_refused(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        root, eve = await sign_up(p, "root", permissions=["*"]), await sign_up(p, "eve")
        path = f"/api/v1/users/{eve.id}"
        tag = (await root.client.get(path)).headers["ETag"]
        p.clock.advance(seconds=1)
        for expected in (200, 412):
            answer = await root.client.patch(
                path, json={"full_name": f"Eve {expected}"}, headers={"If-Match": tag}
            )
            assert answer.status_code == expected
        assert (await root.client.get(path, headers={"If-None-Match": tag})).status_code == 200
        tag = (await root.client.get(path)).headers["ETag"]
        assert (await root.client.get(path, headers={"If-None-Match": tag})).status_code == 304
