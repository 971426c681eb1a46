import pytest

from platform_core.testing import PlatformFactory, RunningPlatform
from user_management import MailLinks, PasswordChanged, PasswordResetRequested, UserInvited
from user_management.testing import PASSWORD, essentials, log_in, sign_up

NEW = "quite another sentence"
STRICT = {
    "PLATFORM_RATE_LIMIT_LOGIN_FAILURES_IP": "10/minute",
    "PLATFORM_RATE_LIMIT_LOGIN_FAILURES_ACCOUNT": "5/5minutes",
}


async def ask_for_reset(p: RunningPlatform, email: str) -> str:
    """Ask like a visitor and read the mail's link like its owner."""
    answer = await p.client.post("/api/v1/auth/password-reset", json={"email": email})
    assert answer.status_code == 202
    await p.deliver()
    events = await p.events(PasswordResetRequested)
    links: MailLinks = p.kernel.wiring.resolve("user_management", MailLinks)
    return links.password_reset_link(events[-1].reset_id).partition("token=")[2]


async def confirm(p: RunningPlatform, token: str, password: str = NEW) -> int:
    body = {"token": token, "new_password": password}
    return (await p.client.post("/api/v1/auth/password-reset/confirm", json=body)).status_code


async def login_status(p: RunningPlatform, email: str, password: str) -> int:
    answer = await p.client.post("/api/v1/auth/login", json={"email": email, "password": password})
    return answer.status_code


async def test_row_34_a_reset_works_once_and_ends_every_session(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        token = await ask_for_reset(p, "EVE@example.com")
        assert await confirm(p, token, "password") == 422, "a password that breaks the rule spends nothing"
        assert await confirm(p, token) == 204
        assert await confirm(p, token, "yet another sentence") == 422
        assert (await eve.client.get("/api/v1/users/me")).status_code == 401
        assert (
            await p.client.post("/api/v1/auth/refresh", json={"refresh_token": eve.refresh_token})
        ).status_code == 401
        assert await login_status(p, eve.email, PASSWORD) == 401
        assert await login_status(p, eve.email, NEW) == 200
        assert [event.user_id for event in await p.events(PasswordChanged)] == [eve.id]


async def test_row_34_a_reset_ends_after_an_hour(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        await sign_up(p, "eve")
        token = await ask_for_reset(p, "eve@example.com")
        p.clock.advance(minutes=61)
        assert await confirm(p, token) == 422


async def test_row_34_a_reset_dies_with_the_password_it_was_for(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        first, second = await ask_for_reset(p, eve.email), await ask_for_reset(p, eve.email)
        body = {"current_password": PASSWORD, "new_password": NEW}
        assert (await eve.client.post("/api/v1/users/me/password", json=body)).status_code == 204
        assert [await confirm(p, token, "a third sentence") for token in (first, second)] == [422, 422]
        third, fourth = await ask_for_reset(p, eve.email), await ask_for_reset(p, eve.email)
        assert await confirm(p, fourth, "a third sentence") == 204
        assert await confirm(p, third, "a fourth sentence") == 422


async def test_row_34_no_host_header_reaches_a_link(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        await sign_up(p, "eve")
        for header in ("Host", "X-Forwarded-Host", "Forwarded"):
            value = "host=evil.example" if header == "Forwarded" else "evil.example"
            await p.client.post(
                "/api/v1/auth/password-reset", json={"email": "eve@example.com"}, headers={header: value}
            )
        await p.deliver()
        links: MailLinks = p.kernel.wiring.resolve("user_management", MailLinks)
        events = await p.events(PasswordResetRequested)
        assert len(events) == 3
        for event in events:
            assert links.password_reset_link(event.reset_id).startswith(
                "https://testserver/reset-password?token="
            )


async def test_row_33_asking_for_a_reset_never_says_whether_there_is_an_account(
    platform: PlatformFactory,
) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        await sign_up(p, "eve")
        answers = []
        for email in ("eve@example.com", "nobody@example.com"):
            answer = await p.client.post("/api/v1/auth/password-reset", json={"email": email})
            answers.append((answer.status_code, answer.text, answer.headers.get("content-type")))
        assert answers[0] == answers[1]
        assert answers[0][0] == 202
        await p.deliver()
        assert len(await p.events(PasswordResetRequested)) == 1


async def test_row_44_a_mailbox_is_not_flooded(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        await sign_up(p, "eve")
        for _ in range(9):
            answer = await p.client.post("/api/v1/auth/password-reset", json={"email": "eve@example.com"})
            assert answer.status_code == 202
        await p.deliver()
        assert len(await p.events(PasswordResetRequested)) == 5
        p.clock.advance(minutes=61)
        await ask_for_reset(p, "eve@example.com")
        assert len(await p.events(PasswordResetRequested)) == 6


async def test_row_45_a_reset_opens_an_account_that_somebody_keeps_locked(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials, settings=STRICT) as p:
        await sign_up(p, "eve")
        for _ in range(5):
            await login_status(p, "eve@example.com", "wrong")
        assert await login_status(p, "eve@example.com", PASSWORD) == 429
        assert await confirm(p, await ask_for_reset(p, "eve@example.com")) == 204
        assert await login_status(p, "eve@example.com", NEW) == 200


@pytest.mark.parametrize("token", ["x", "a.b", "AAAAAAAAAAAAAAAAAAAAAA.BBBB", "🙂"])
async def test_what_is_no_token_is_refused_and_pointed_at(platform: PlatformFactory, token: str) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        body = {"token": token, "new_password": NEW}
        answer = await p.client.post("/api/v1/auth/password-reset/confirm", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/body/token")
        answer = await p.client.post("/api/v1/auth/verify-email", json={"token": token})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/body/token")


async def test_a_reset_token_proves_no_address_and_opens_no_session(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        await sign_up(p, "eve")
        token = await ask_for_reset(p, "eve@example.com")
        assert (await p.client.post("/api/v1/auth/verify-email", json={"token": token})).status_code == 422
        assert (await p.client.post("/api/v1/auth/refresh", json={"refresh_token": token})).status_code == 401
        async with p.new_client({"Authorization": f"Bearer {token}"}) as client:
            assert (await client.get("/api/v1/users/me")).status_code == 401


async def test_a_disabled_account_resets_nothing(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve, root = await sign_up(p, "eve"), await sign_up(p, "root", permissions=["*"])
        token = await ask_for_reset(p, eve.email)
        await root.client.patch(f"/api/v1/users/{eve.id}", json={"is_active": False})
        assert await confirm(p, token) == 422
        await p.client.post("/api/v1/auth/password-reset", json={"email": eve.email})
        await p.deliver()
        assert len(await p.events(PasswordResetRequested)) == 1


async def test_an_invited_user_chooses_the_first_password(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        root = await sign_up(p, "root", permissions=["*"])
        body = {"email": "new@example.com", "username": "new", "full_name": "New"}
        answer = await root.client.post("/api/v1/users", json=body)
        assert (answer.status_code, answer.json()["roles"]) == (201, ["member"])
        [event] = await p.events(UserInvited)
        links: MailLinks = p.kernel.wiring.resolve("user_management", MailLinks)
        token = links.invitation_link(event.invitation_id).partition("token=")[2]
        p.clock.advance(days=6)
        assert await confirm(p, token) == 204
        assert await confirm(p, token) == 422
        new = await log_in(p, "new@example.com", NEW)
        assert (await new.client.get("/api/v1/users/me")).json()["email_verified"] is True


async def test_row_31_changing_needs_the_current_password_and_ends_the_other_sessions(
    platform: PlatformFactory,
) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        other = await log_in(p, eve.email)
        wrong = {"current_password": "not the password", "new_password": NEW}
        answer = await eve.client.post("/api/v1/users/me/password", json=wrong)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/body/current_password")
        assert (await other.client.get("/api/v1/users/me")).status_code == 200
        for password, pointer in (("short", "/body/new_password"), ("EVE@example.com", "/body/new_password")):
            body = {"current_password": PASSWORD, "new_password": password}
            answer = await eve.client.post("/api/v1/users/me/password", json=body)
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
        right = {"current_password": PASSWORD, "new_password": NEW}
        assert (await eve.client.post("/api/v1/users/me/password", json=right)).status_code == 204
        assert (await eve.client.get("/api/v1/users/me")).status_code == 200
        assert (await other.client.get("/api/v1/users/me")).status_code == 401
        assert await login_status(p, eve.email, NEW) == 200


async def test_a_stolen_session_cannot_guess_the_password(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials, settings=STRICT) as p:
        eve = await sign_up(p, "eve")
        statuses = []
        for n in range(6):
            body = {"current_password": f"guess {n}", "new_password": NEW}
            statuses.append((await eve.client.post("/api/v1/users/me/password", json=body)).status_code)
        assert statuses == [422] * 5 + [429]


async def test_row_26_a_password_counts_to_its_last_byte(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        password = "😀" * 64
        body = {"email": "ada@example.com", "username": "ada", "password": password}
        assert (await p.client.post("/api/v1/users/register", json=body)).status_code == 201
        assert await login_status(p, "ada@example.com", password) == 200
        assert await login_status(p, "ada@example.com", password[:-1] + "😁") == 401
        assert await login_status(p, "ada@example.com", password[:50] + "😁" + password[51:]) == 401
