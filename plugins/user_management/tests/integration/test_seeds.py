import pytest

from platform_core.context import Context, bind
from platform_core.declarations import Tier
from platform_core.errors import InvalidInput
from platform_core.security import SYSTEM
from platform_core.testing import PlatformFactory, RunningPlatform
from user_management import UserRegistered
from user_management.application import MakeAdministrator
from user_management.testing import PASSWORD, log_in, sign_up

ADMINISTRATOR = {"PLATFORM_ADMIN_EMAIL": "ada@corp.local", "PLATFORM_ADMIN_PASSWORD": "no built-in password"}


async def seed(p: RunningPlatform, tier: Tier = Tier.ESSENTIAL) -> None:
    with bind(Context(principal=SYSTEM)):
        for one in p.kernel.declared["user_management"].seeds:
            if one.tier <= tier:
                await p.kernel.call("user_management", one.run)


async def counts(p: RunningPlatform) -> tuple[int, int]:
    [row] = await p.sql(
        "SELECT (SELECT count(*) FROM user_management.users) AS users,"
        " (SELECT count(*) FROM user_management.roles) AS roles"
    )
    return row["users"], row["roles"]


async def test_the_first_start_makes_two_roles_and_the_administrator_of_the_environment(
    platform: PlatformFactory,
) -> None:
    async with platform(["user_management"], settings=ADMINISTRATOR) as p:
        for _ in range(2):
            await seed(p)
            assert await counts(p) == (1, 2)
        ada = await log_in(p, "ada@corp.local", "no built-in password")
        me = (await ada.client.get("/api/v1/users/me")).json()
        assert (me["username"], me["roles"], me["email_verified"]) == ("admin", ["admin", "member"], True)
        assert (await ada.client.get("/api/v1/platform/modules")).status_code == 200


async def test_row_88_without_a_password_from_outside_there_is_no_administrator(
    platform: PlatformFactory,
) -> None:
    for settings in (
        {},
        {"PLATFORM_ADMIN_EMAIL": "ada@corp.local"},
        {"PLATFORM_ADMIN_PASSWORD": "something long"},
    ):
        async with platform(["user_management"], settings=settings) as p:
            await seed(p)
            assert await counts(p) == (0, 2)


async def test_seeding_again_changes_nobody_who_is_there(platform: PlatformFactory) -> None:
    async with platform(["user_management"], settings=ADMINISTRATOR) as p:
        await seed(p)
        ada = await log_in(p, "ada@corp.local", "no built-in password")
        body = {"current_password": "no built-in password", "new_password": "my own choice now"}
        assert (await ada.client.post("/api/v1/users/me/password", json=body)).status_code == 204
        await seed(p)
        await log_in(p, "ada@corp.local", "my own choice now")
        assert (await ada.client.get("/api/v1/users/me")).status_code == 200


async def test_what_was_changed_about_members_survives_the_seeds(platform: PlatformFactory) -> None:
    async with platform(["user_management"], settings=ADMINISTRATOR) as p:
        await seed(p)
        ada = await log_in(p, "ada@corp.local", "no built-in password")
        roles = (await ada.client.get("/api/v1/roles")).json()["items"]
        [member] = [role for role in roles if role["name"] == "member"]
        await ada.client.patch(f"/api/v1/roles/{member['id']}", json={"permissions": ["users:read"]})
        await seed(p)
        assert (await ada.client.get(f"/api/v1/roles/{member['id']}")).json()["permissions"] == ["users:read"]


async def test_development_brings_people_who_share_the_administrators_password(
    platform: PlatformFactory,
) -> None:
    async with platform(["user_management"], settings=ADMINISTRATOR) as p:
        for _ in range(2):
            await seed(p, Tier.DEVELOPMENT)
            assert await counts(p) == (5, 4)
        ben = await log_in(p, "ben@example.com", "no built-in password")
        assert (await ben.client.get("/api/v1/users")).status_code == 200
        assert await p.events(UserRegistered) == [], "nobody is welcomed because of a seed"


async def test_tests_have_enough_people_for_a_second_page(platform: PlatformFactory) -> None:
    async with platform(["user_management"]) as p:
        for _ in range(2):
            await seed(p, Tier.TEST)
            assert await counts(p) == (34, 4)
        rows = await p.sql("SELECT 1 FROM user_management.users WHERE password_hash IS NOT NULL")
        assert rows == [], "nobody has a built-in password"


async def test_an_operator_makes_an_administrator_of_anybody(platform: PlatformFactory) -> None:
    async with platform(["user_management"]) as p:
        await seed(p)
        eve = await sign_up(p, "eve")
        assert await p.execute(
            MakeAdministrator(email="EVE@example.com", username="x", password="a new sentence")
        )
        assert (await eve.client.get("/api/v1/users/me")).status_code == 401, "old sessions end"
        admin = await log_in(p, eve.email, "a new sentence")
        assert (await admin.client.get("/api/v1/users")).status_code == 200
        assert admin.username == "eve"
        assert not await p.execute(
            MakeAdministrator(email="b@example.com", username="bbb", password=PASSWORD, only_first=True)
        )


async def test_an_administrators_password_keeps_the_rule_too(platform: PlatformFactory) -> None:
    settings = ADMINISTRATOR | {"PLATFORM_ADMIN_PASSWORD": "password1"}
    async with platform(["user_management"], settings=settings) as p:
        with pytest.raises(InvalidInput):
            await seed(p)
