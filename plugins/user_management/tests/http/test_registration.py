import asyncio
from uuid import UUID

import pytest

from platform_core.testing import PlatformFactory
from user_management import EmailVerificationRequested, MailLinks, UserRegistered
from user_management.testing import essentials, sign_up

ADA = {
    "email": "ada@example.com",
    "username": "ada",
    "password": "a long enough sentence",
    "full_name": "Ada L.",
}


async def test_who_registers_gets_an_account_and_everybody_hears_of_it(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        answer = await p.client.post("/api/v1/users/register", json=ADA)
        user = answer.json()
        assert answer.status_code == 201
        assert user == {
            "id": user["id"],
            "email": "ada@example.com",
            "username": "ada",
            "full_name": "Ada L.",
            "is_active": True,
            "email_verified": False,
            "roles": ["member"],
            "last_login_at": None,
            "created_at": user["created_at"],
            "updated_at": user["updated_at"],
        }
        assert UUID(user["id"]).version == 7
        [event] = await p.events(UserRegistered)
        assert (str(event.user_id), event.email, event.username) == (user["id"], "ada@example.com", "ada")
        [line] = await p.audit("user_management.register_user")
        assert (line.outcome, str(line.resource_id)) == ("done", user["id"])


async def test_nothing_that_is_stored_leads_to_the_password(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        await p.client.post("/api/v1/users/register", json=ADA)
        await p.client.post("/api/v1/auth/login", json={k: ADA[k] for k in ("email", "password")})
        for table in (
            "audit.domain_events",
            "audit.audit_logs",
            "platform.deliveries",
            "user_management.users",
        ):
            rows = await p.sql(f"SELECT t::text AS row FROM {table} t")
            assert not any(ADA["password"] in row["row"] for row in rows), table
        [line] = await p.audit("user_management.register_user")
        assert "$2b$" not in str(line.changes)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"username": "other"}, "email-taken"),
        ({"username": "other", "email": "ADA@Example.COM"}, "email-taken"),
        ({"username": "other", "email": " ada@example.com "}, "email-taken"),
        ({"email": "other@example.com"}, "username-taken"),
        ({"email": "other@example.com", "username": "ADA"}, "username-taken"),
    ],
)
async def test_an_address_and_a_username_belong_to_one_account(
    platform: PlatformFactory, changes: dict[str, str], problem: str
) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        await p.client.post("/api/v1/users/register", json=ADA)
        answer = await p.client.post("/api/v1/users/register", json=ADA | changes)
        assert (answer.status_code, answer.json()["type"]) == (409, f"/problems/{problem}")
        assert len(await p.events(UserRegistered)) == 1


async def test_the_deleted_leave_address_and_username_free(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        root = await sign_up(p, "root", permissions=["*"])
        ada = (await p.client.post("/api/v1/users/register", json=ADA)).json()
        assert (await root.client.delete(f"/api/v1/users/{ada['id']}")).status_code == 204
        assert (await p.client.post("/api/v1/users/register", json=ADA)).status_code == 201


async def test_row_36_of_fifty_who_register_at_once_one_gets_the_account(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:

        async def register(number: int) -> tuple[int, str]:
            email = "Ada@example.com" if number % 2 else "ada@EXAMPLE.com"
            answer = await p.client.post("/api/v1/users/register", json=ADA | {"email": email})
            return answer.status_code, answer.json().get("type", "")

        answers = await asyncio.gather(*map(register, range(50)))
        assert answers.count((201, "")) == 1
        assert (
            answers.count((409, "/problems/email-taken")) + answers.count((409, "/problems/username-taken"))
            == 49
        )
        assert len(await p.sql("SELECT 1 FROM user_management.users")) == 1
        assert len(await p.events(UserRegistered)) == 1


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"password": "1234567"}, "/body/password"),
        ({"password": "x" * 1025}, "/body/password"),
        ({"password": "iloveyou"}, "/body/password"),
        ({"password": "ADA@example.com"}, "/body/password"),
        ({"username": "a"}, "/body/username"),
        ({"username": "a b c"}, "/body/username"),
        ({"username": None}, "/body/username"),
        ({"email": "no address"}, "/body/email"),
        ({"email": 7}, "/body/email"),
        ({"full_name": "x" * 201}, "/body/full_name"),
        ({"full_name": "a\0b"}, "/body/full_name"),
        ({"full_name": "Ada\r\nBcc: eve@example.com"}, "/body/full_name"),
        ({"is_admin": True}, "/body/is_admin"),
        ({"roles": ["admin"]}, "/body/roles"),
        ({"role": "admin"}, "/body/role"),
        ({"email_verified": True}, "/body/email_verified"),
        ({"is_active": True}, "/body/is_active"),
        ({"id": "01a20642-0c8c-7e6e-b94c-e5b378cc4910"}, "/body/id"),
        ({"created_at": "2020-01-01T00:00:00Z"}, "/body/created_at"),
        ({"deleted_at": None}, "/body/deleted_at"),
        ({"password_hash": "x"}, "/body/password_hash"),
    ],
)
async def test_what_breaks_a_rule_is_pointed_at_and_changes_nothing(
    platform: PlatformFactory, changes: dict[str, object], pointer: str
) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        answer = await p.client.post("/api/v1/users/register", json=ADA | changes)
        assert answer.status_code == 422, answer.text
        assert pointer in [error["pointer"] for error in answer.json()["errors"]]
        assert await p.sql("SELECT 1 FROM user_management.users") == []


async def test_row_27_a_password_of_4097_characters_is_refused_without_hashing(
    platform: PlatformFactory,
) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        answer = await p.client.post("/api/v1/users/register", json=ADA | {"password": "x" * 4097})
        assert answer.status_code == 422
        answer = await p.client.post(
            "/api/v1/auth/login", json={"email": ADA["email"], "password": "x" * 4097}
        )
        assert answer.status_code == 422


async def test_an_address_is_proven_through_the_mailed_link_once(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        await p.client.post("/api/v1/users/register", json=ADA)
        [event] = await p.events(UserRegistered)
        assert event.verification_id is not None
        links = p.kernel.wiring.resolve("user_management", MailLinks)
        link = links.verification_link(event.verification_id)
        assert link.startswith("https://testserver/verify-email?token=")
        body = {"token": link.partition("token=")[2]}
        for expected in (204, 422):
            assert (await p.client.post("/api/v1/auth/verify-email", json=body)).status_code == expected
        [row] = await p.sql("SELECT email_verified FROM user_management.users")
        assert row["email_verified"] is True


async def test_a_link_ends_and_another_can_be_asked_for(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        await p.client.post("/api/v1/users/register", json=ADA)
        [event] = await p.events(UserRegistered)
        links = p.kernel.wiring.resolve("user_management", MailLinks)
        old = links.verification_link(event.verification_id).partition("token=")[2]  # type: ignore[arg-type]  # it has one
        p.clock.advance(hours=49)
        assert (await p.client.post("/api/v1/auth/verify-email", json={"token": old})).status_code == 422
        tokens = (
            await p.client.post(
                "/api/v1/auth/login", json={"email": ADA["email"], "password": ADA["password"]}
            )
        ).json()
        ada = p.new_client({"Authorization": f"Bearer {tokens['access_token']}"})
        for _ in range(8):
            assert (await ada.post("/api/v1/auth/verify-email/resend")).status_code == 202
        requests = await p.events(EmailVerificationRequested)
        assert len(requests) == 5, "nobody's mailbox is flooded"
        token = links.verification_link(requests[-1].verification_id).partition("token=")[2]
        assert (await p.client.post("/api/v1/auth/verify-email", json={"token": token})).status_code == 204
        assert (await ada.post("/api/v1/auth/verify-email/resend")).status_code == 202
        assert len(await p.events(EmailVerificationRequested)) == 5


async def test_without_its_roles_the_platform_says_so(platform: PlatformFactory) -> None:
    async with platform(["user_management"]) as p:
        answer = await p.client.post("/api/v1/users/register", json=ADA)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/roles-missing")
