"""Rows 10, 16, 18, 34, 44 and 51 where two requests meet at the worst moment."""

import asyncio

import pytest
from attacks import API, queued, row_locked

from platform_core.testing import PlatformFactory, RunningPlatform
from user_management import MailLinks, PasswordResetRequested, SessionReuseDetected
from user_management.testing import PASSWORD, Account, essentials, sign_up

NEW = "quite another sentence"


async def reset_token(p: RunningPlatform, email: str) -> str:
    await p.client.post(f"{API}/auth/password-reset", json={"email": email})
    await p.deliver()
    event = (await p.events(PasswordResetRequested))[-1]
    links: MailLinks = p.kernel.wiring.resolve("user_management", MailLinks)
    return links.password_reset_link(event.reset_id).partition("token=")[2]


async def is_alive(p: RunningPlatform, tokens: dict[str, str]) -> bool:
    async with p.new_client({"Authorization": f"Bearer {tokens['access_token']}"}) as client:
        known = (await client.get(f"{API}/users/me")).status_code == 200
    body = {"refresh_token": tokens["refresh_token"]}
    return known or (await p.client.post(f"{API}/auth/refresh", json=body)).status_code == 200


@pytest.mark.parametrize("how", ["change", "reset", "disable"])
async def test_row_10_a_login_that_commits_while_the_password_changes_is_ended_too(
    platform: PlatformFactory, how: str
) -> None:
    """Row 10: a thief logs in with the old password at the very moment in which its owner replaces it."""
    async with platform(["user_management"], seed=essentials) as p:
        eve, root = await sign_up(p, "eve"), await sign_up(p, "root", permissions=["*"])
        token = await reset_token(p, eve.email)
        rescue = {
            "change": lambda: eve.client.post(
                f"{API}/users/me/password", json={"current_password": PASSWORD, "new_password": NEW}
            ),
            "reset": lambda: p.client.post(
                f"{API}/auth/password-reset/confirm", json={"token": token, "new_password": NEW}
            ),
            "disable": lambda: root.client.patch(f"{API}/users/{eve.id}", json={"is_active": False}),
        }[how]
        async with row_locked(p, "user_management.users", eve.id):
            credentials = {"email": eve.email, "password": PASSWORD}
            thief = asyncio.create_task(p.client.post(f"{API}/auth/login", json=credentials))
            await queued(p, 1)
            rescued = asyncio.create_task(rescue())
            await queued(p, 2)
        assert (await rescued).is_success
        stolen = await thief
        assert stolen.status_code == 200, "the thief came first"
        await root.client.patch(f"{API}/users/{eve.id}", json={"is_active": True})
        assert not await is_alive(p, stolen.json())


async def test_row_51_nobody_fills_a_role_while_they_take_it(platform: PlatformFactory) -> None:
    """Row 51: both orders end alike, because filling asks what the filler holds, not who has the role."""
    async with platform(["user_management"], seed=essentials) as p:
        keeper = await sign_up(p, "keeper", permissions=["roles:read", "roles:write"])
        for number in range(12):
            made = await keeper.client.post(f"{API}/roles", json={"name": f"r{number}", "permissions": []})
            await asyncio.gather(
                keeper.client.put(f"{API}/users/{keeper.id}/roles/r{number}"),
                keeper.client.patch(
                    f"{API}/roles/{made.json()['id']}", json={"permissions": ["users:read", "users:write"]}
                ),
            )
            assert (await keeper.client.get(f"{API}/users")).status_code == 403
        roles = (await keeper.client.get(f"{API}/roles", params={"limit": 200})).json()["items"]
        [member] = [role for role in roles if role["name"] == "member"]
        widened = await keeper.client.patch(
            f"{API}/roles/{member['id']}", json={"permissions": ["users:read"]}
        )
        assert widened.status_code == 403, "everybody has this one"


async def test_row_16_of_many_late_reuses_at_once_one_ends_the_session_and_none_mints(
    platform: PlatformFactory,
) -> None:
    """Row 16: a thief who tries in parallel gets nothing, and the trail tells of one theft."""
    async with (
        platform(["user_management"], seed=essentials) as p,
        platform(["user_management"], beside=p, seed=essentials) as q,
    ):
        eve = await sign_up(p, "eve")
        spent = {"refresh_token": eve.refresh_token}
        newest = (await p.client.post(f"{API}/auth/refresh", json=spent)).json()
        p.clock.advance(seconds=11)
        answers = await asyncio.gather(
            *((q if n % 2 else p).client.post(f"{API}/auth/refresh", json=spent) for n in range(20)),
            p.client.post(f"{API}/auth/refresh", json={"refresh_token": newest["refresh_token"]}),
        )
        assert {answer.status_code for answer in answers[:-1]} == {401}
        assert not await is_alive(q, newest)
        if answers[-1].status_code == 200:  # it came before the theft was noticed
            assert not await is_alive(q, answers[-1].json())
        assert len(await p.events(SessionReuseDetected)) == 1


async def test_row_18_no_refresh_outlives_a_changed_password(platform: PlatformFactory) -> None:
    """Row 18: what was minted while the owner changed the password is as dead as what was before."""
    async with platform(["user_management"], seed=essentials) as p:
        for number in range(6):
            owner = await sign_up(p, f"eve{number}")
            credentials = {"email": owner.email, "password": PASSWORD}
            thief = (await p.client.post(f"{API}/auth/login", json=credentials)).json()
            body = {"current_password": PASSWORD, "new_password": NEW}
            minted, changed = await asyncio.gather(
                p.client.post(f"{API}/auth/refresh", json={"refresh_token": thief["refresh_token"]}),
                owner.client.post(f"{API}/users/me/password", json=body),
            )
            assert changed.status_code == 204
            assert not await is_alive(p, thief)
            if minted.status_code == 200:
                assert not await is_alive(p, minted.json())


@pytest.mark.parametrize("what", ["reset", "verification"])
async def test_row_44_a_flood_at_once_fills_no_mailbox(platform: PlatformFactory, what: str) -> None:
    """Row 44: a mailbox gets five mails an hour at most, also when they are asked for in parallel."""
    async with platform(["user_management"], seed=essentials) as p:
        await p.client.post(
            f"{API}/users/register",
            json={"email": "eve@example.com", "username": "eve", "password": PASSWORD},
        )
        login = await p.client.post(
            f"{API}/auth/login", json={"email": "eve@example.com", "password": PASSWORD}
        )
        client = p.new_client({"Authorization": f"Bearer {login.json()['access_token']}"})
        route = "auth/password-reset" if what == "reset" else "auth/verify-email/resend"
        body = {"json": {"email": "eve@example.com"}} if what == "reset" else {}
        answers = await asyncio.gather(*(client.post(f"{API}/{route}", **body) for _ in range(30)))
        assert {answer.status_code for answer in answers} <= {202, 409}
        await p.deliver()
        [row] = await p.sql(
            "SELECT count(*) AS n FROM audit.domain_events WHERE right(name, 10) = '_requested'"
        )
        assert 1 <= row["n"] <= 5


async def test_row_34_of_two_who_follow_one_reset_link_at_once_one_wins(platform: PlatformFactory) -> None:
    """Row 34: a reset token is spent by the first, however close the second is."""
    async with platform(["user_management"], seed=essentials) as p:
        eve: Account = await sign_up(p, "eve")
        token = await reset_token(p, eve.email)
        answers = await asyncio.gather(
            *(
                p.client.post(
                    f"{API}/auth/password-reset/confirm",
                    json={"token": token, "new_password": f"sentence number {n}"},
                )
                for n in range(8)
            )
        )
        assert sorted(answer.status_code for answer in answers) == [204] + [422] * 7
        works = [
            (
                await p.client.post(
                    f"{API}/auth/login", json={"email": eve.email, "password": f"sentence number {n}"}
                )
            ).status_code
            for n in range(8)
        ]
        assert works.count(200) == 1
