from platform_core.domain import new_id
from platform_core.testing import PlatformFactory, RunningPlatform
from user_management import UserDirectory
from user_management.application import UpdateUser
from user_management.infrastructure.reads import SqlUserDirectory
from user_management.testing import essentials, sign_up


def directory_of(p: RunningPlatform) -> UserDirectory:
    return SqlUserDirectory(p.kernel.reads("user_management"))


async def test_others_find_people_by_identity_and_by_username(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        directory, eve, ben = directory_of(p), await sign_up(p, "eve"), await sign_up(p, "Ben")
        user = await directory.get(eve.id)
        assert user is not None
        assert (user.username, user.roles) == ("eve", ["member"])
        assert await directory.get(new_id()) is None
        assert (await directory.get_many([eve.id, ben.id, new_id()])).keys() == {eve.id, ben.id}
        assert await directory.get_many([]) == {}
        found = await directory.find_by_usernames(["EVE", "ben", "nobody"])
        assert {name: view.id for name, view in found.items()} == {"eve": eve.id, "ben": ben.id}
        assert await directory.find_by_usernames([]) == {}


async def test_many_people_cost_one_statement(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        directory, eve = directory_of(p), await sign_up(p, "eve")
        with p.count_statements() as traffic:
            await directory.get_many([eve.id, new_id()])
        assert traffic.count == 1, traffic


async def test_the_disabled_are_in_it_and_the_deleted_are_not(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        directory, eve, root = (
            directory_of(p),
            await sign_up(p, "eve"),
            await sign_up(p, "root", permissions=["*"]),
        )
        await p.execute(UpdateUser(user_id=eve.id, changes={"is_active": False}))
        user = await directory.get(eve.id)
        assert user is not None
        assert not user.is_active
        await root.client.delete(f"/api/v1/users/{eve.id}")
        assert await directory.get(eve.id) is None
        assert await directory.get_profile(eve.id) is None
        assert await directory.get_many([eve.id]) == {}
        assert await directory.find_by_usernames(["eve"]) == {}


async def test_a_profile_tells_language_and_time_zone(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        await eve.client.patch("/api/v1/users/me", json={"locale": "de", "timezone": "Europe/Berlin"})
        profile = await directory_of(p).get_profile(eve.id)
        assert profile is not None
        assert (profile.locale, profile.timezone) == ("de", "Europe/Berlin")
