"""From an event to a mail that a real SMTP server got, whatever the server says meanwhile."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from notification.application.send_email import ReleaseHeldEmails
from notification.domain import ATTEMPTS_COUNT
from platform_core.testing import PlatformFactory, RunningPlatform
from user_management import (
    EmailVerificationRequested,
    PasswordResetRequested,
    UserInvited,
    UserRegistered,
)
from user_management.testing import essentials, sign_up

ADA = {
    "email": "ada@example.org",
    "username": "ada",
    "password": "correct horse battery",
    "full_name": "Ada Lovelace",
}
MODULES = ["user_management", "notification"]


async def register(p: RunningPlatform, **changes: str) -> None:
    answer = await p.client.post("/api/v1/users/register", json=ADA | changes)
    assert answer.status_code == 201, answer.text


async def logs(p: RunningPlatform) -> list[dict[str, Any]]:
    return await p.sql("SELECT * FROM notification.email_logs ORDER BY id")


def token(text: str | None) -> str:
    found = re.search(r"token=(\S+)", text or "")
    assert found is not None, text
    return found[1]


async def test_who_registers_gets_one_mail_that_welcomes_and_carries_the_link(
    platform: PlatformFactory,
) -> None:
    async with platform(MODULES, seed=essentials) as p:
        await register(p)
        await p.deliver()
        [mail] = p.mails
        assert mail.subject == "Welcome to Platform Core"
        assert mail.recipients == ("ada@example.org",)
        assert "Hello Ada Lovelace," in (mail.text or "")
        assert "https://testserver/" in (mail.text or "")
        assert mail.html is not None
        verified = await p.client.post("/api/v1/auth/verify-email", json={"token": token(mail.text)})
        assert verified.status_code == 204, verified.text
        [row] = await logs(p)
        assert (row["status"], row["attempts"], row["error"]) == ("sent", 1, None)
        assert row["message_id"] == mail.header("Message-ID") == f"<{row['id']}@testserver>"


async def test_reset_invitation_and_changed_password_have_a_mail_each(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        admin = await sign_up(p, "admin", permissions=["users:write"])
        await register(p)
        await p.client.post("/api/v1/auth/password-reset", json={"email": ADA["email"]})
        await p.deliver()
        reset = next(mail for mail in p.mails if "password" in mail.subject)
        answer = await p.client.post(
            "/api/v1/auth/password-reset/confirm",
            json={"token": token(reset.text), "new_password": "another long sentence"},
        )
        assert answer.status_code == 204, answer.text
        invited = {"email": "ben@example.org", "username": "ben"}
        assert (await admin.client.post("/api/v1/users", json=invited)).status_code == 201
        await p.deliver()
        assert {(mail.subject, mail.recipients[0]) for mail in p.mails} >= {
            ("Choose a new password for Platform Core", "ada@example.org"),
            ("Your password for Platform Core was changed", "ada@example.org"),
            ("Your account at Platform Core", "ben@example.org"),
        }
        invitation = next(mail for mail in p.mails if mail.recipients == ("ben@example.org",))
        answer = await p.client.post(
            "/api/v1/auth/password-reset/confirm",
            json={"token": token(invitation.text), "new_password": "another long sentence"},
        )
        assert answer.status_code == 204, answer.text


async def test_whose_refresh_token_was_probably_stolen_hears_of_it(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        spent = {"refresh_token": eve.refresh_token}
        assert (await p.client.post("/api/v1/auth/refresh", json=spent)).status_code == 200
        p.clock.advance(seconds=11)
        assert (await p.client.post("/api/v1/auth/refresh", json=spent)).status_code == 401
        await p.deliver()
        assert [(mail.subject, mail.recipients) for mail in p.mails] == [
            ("One of your logins at Platform Core was ended", (eve.email,))
        ]


async def test_a_link_that_was_asked_for_again_comes_in_a_mail_of_its_own(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        await p.sql("UPDATE user_management.users SET email_verified = false")
        answer = await eve.client.post("/api/v1/auth/verify-email/resend")
        assert answer.status_code in (202, 204), answer.text
        await p.deliver()
        assert p.mails[0].subject == "Confirm your e-mail address for Platform Core"
        answer = await p.client.post("/api/v1/auth/verify-email", json={"token": token(p.mails[0].text)})
        assert answer.status_code == 204, answer.text


@pytest.mark.parametrize("how", ["too old", "used"])
async def test_a_reset_mail_that_comes_after_its_link_ended_is_not_sent(
    platform: PlatformFactory, mail_server: Any, how: str
) -> None:
    """The mail server is away for longer than the link works, or meanwhile the password was changed otherwise."""
    mail_server.answer("MAIL", ["451 later"])
    async with platform(MODULES, seed=essentials, settings={"SMTP_URL": mail_server.url}) as p:
        eve = await sign_up(p, "eve")
        await p.client.post("/api/v1/auth/password-reset", json={"email": eve.email})
        await p.deliver()
        assert [row["status"] for row in await logs(p)] == ["queued"]
        if how == "too old":
            p.clock.advance(minutes=61)
        else:
            passwords = {"current_password": eve.password, "new_password": "another long sentence"}
            assert (await eve.client.post("/api/v1/users/me/password", json=passwords)).status_code == 204
        await p.deliver(skip_waits=True)
        row = next(row for row in await logs(p) if row["kind"] == PasswordResetRequested.wire_name)
        assert (row["status"], row["attempts"]) == ("failed", 1)
        assert row["error"] == "its link ended before it could be sent: used, replaced or too old"
        assert "Choose a new password" not in {mail["Subject"] for mail in mail_server.accepted}


async def test_verifications_and_invitations_end_alike_and_a_late_welcome_has_no_link(
    platform: PlatformFactory,
) -> None:
    async with platform(MODULES, seed=essentials) as p:
        root = await sign_up(p, "root", permissions=["*"])
        eve = await sign_up(p, "eve")
        await p.sql("UPDATE user_management.users SET email_verified = false")
        await eve.client.post("/api/v1/auth/verify-email/resend")
        await root.client.post("/api/v1/users", json={"email": "ben@example.org", "username": "ben"})
        await register(p)
        p.clock.advance(days=8)
        await p.deliver()
        assert {row["kind"]: row["status"] for row in await logs(p)} == {
            EmailVerificationRequested.wire_name: "failed",
            UserInvited.wire_name: "failed",
            UserRegistered.wire_name: "sent",
        }
        [mail] = p.mails
        assert mail.subject == "Welcome to Platform Core"
        assert "token=" not in (mail.text or "") + (mail.html or "")


async def test_a_mail_is_in_the_language_of_its_reader(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        answer = await eve.client.patch("/api/v1/users/me", json={"locale": "de-AT"})
        assert answer.status_code == 200, answer.text
        await p.client.post("/api/v1/auth/password-reset", json={"email": eve.email})
        await p.deliver()
        assert p.mails[0].subject == "Neues Passwort für Platform Core"
        assert p.mails[0].header("Content-Language") == "de"


async def test_a_server_that_says_not_now_five_times_gets_the_mail_once(
    platform: PlatformFactory, mail_server: Any
) -> None:
    mail_server.answer("RCPT", ["451 4.7.1 greylisted", "421 4.3.2 busy"])
    mail_server.answer("DATA", ["451 4.3.0 later"] * 3)
    async with platform(MODULES, seed=essentials, settings={"SMTP_URL": mail_server.url}) as p:
        await register(p)
        await p.deliver()
        [row] = await logs(p)
        assert (row["status"], row["attempts"]) == ("queued", 1)
        assert row["error"] == "the mail server said 451 4.7.1 greylisted"
        assert row["subject"] == "Welcome to Platform Core"
        await p.deliver(skip_waits=True)
        [row] = await logs(p)
        assert (row["status"], row["attempts"], row["error"]) == ("sent", 6, None)
        assert len(mail_server.accepted) == 1
        assert {mail["Message-ID"] for mail in mail_server.mails} == {row["message_id"]}


@pytest.mark.parametrize("phase", ["MAIL", "RCPT", "DATA"])
async def test_a_server_that_says_never_is_asked_once(
    platform: PlatformFactory, mail_server: Any, phase: str
) -> None:
    mail_server.answer(phase, ["550 5.1.1 no such user"])
    async with platform(MODULES, seed=essentials, settings={"SMTP_URL": mail_server.url}) as p:
        await register(p)
        await p.deliver(skip_waits=True)
        [row] = await logs(p)
        assert (row["status"], row["attempts"]) == ("failed", 1)
        assert row["error"] == "the mail server said 550 5.1.1 no such user"
        [job] = await p.deliveries("notification.send_email")
        assert (job.status, job.attempts_count) == ("done", 1)
        assert mail_server.accepted == []


async def test_a_server_that_never_agrees_makes_a_failure_and_a_dead_letter(
    platform: PlatformFactory, mail_server: Any
) -> None:
    mail_server.answer("MAIL", ["451 later"] * ATTEMPTS_COUNT)
    async with platform(MODULES, seed=essentials, settings={"SMTP_URL": mail_server.url}) as p:
        await register(p)
        await p.deliver(skip_waits=True)
        [row] = await logs(p)
        assert (row["status"], row["attempts"]) == ("failed", ATTEMPTS_COUNT)
        [job] = await p.deliveries("notification.send_email")
        assert job.status == "dead"
        assert "451 later" in (job.last_error or "")
        # an operator repeats the dead letter, and this time the server agrees
        await p.sql(
            "UPDATE platform.deliveries SET status = 'pending', attempts_count = 0 WHERE id = %(id)s",
            id=job.id,
        )
        await p.deliver(skip_waits=True)
        assert [row["status"] for row in await logs(p)] == ["sent"]


async def test_a_slow_server_costs_the_time_out_and_nothing_else(
    platform: PlatformFactory, mail_server: Any
) -> None:
    mail_server.answer("DATA", [60.0])
    settings = {"SMTP_URL": mail_server.url, "PLATFORM_NOTIFICATION_SEND_TIMEOUT_SECONDS": "0.3"}
    async with platform(MODULES, seed=essentials, settings=settings) as p:
        await register(p)
        await p.deliver()
        [row] = await logs(p)
        assert (row["status"], row["attempts"]) == ("queued", 1)
        assert "longer than 0.3 s" in row["error"]
        await p.deliver(skip_waits=True)
        assert [row["status"] for row in await logs(p)] == ["sent"]


async def test_a_slow_server_never_has_more_than_four_mails_at_once(
    platform: PlatformFactory, mail_server: Any
) -> None:
    mail_server.answer("DATA", [reply for _ in range(10) for reply in (0.2, "250 at last")])
    async with platform(MODULES, seed=essentials, settings={"SMTP_URL": mail_server.url}) as p:
        for number in range(10):
            await register(p, email=f"reader-{number}@example.org", username=f"reader-{number}")
        await p.deliver()
        assert len(mail_server.accepted) == 10
        assert 1 < mail_server.busiest <= 4


async def test_a_crash_between_the_servers_yes_and_the_commit_repeats_the_same_message_id(
    platform: PlatformFactory, mail_server: Any
) -> None:
    async with platform(MODULES, seed=essentials, settings={"SMTP_URL": mail_server.url}) as p:
        await register(p)
        await p.sql(
            "CREATE FUNCTION public.crash() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'crash'; END $$"
        )
        await p.sql(
            "CREATE TRIGGER crash BEFORE UPDATE ON notification.email_logs EXECUTE FUNCTION public.crash()"
        )
        await p.deliver()
        assert [(row["status"], row["attempts"]) for row in await logs(p)] == [("queued", 0)]
        await p.sql("DROP TRIGGER crash ON notification.email_logs")
        await p.deliver(skip_waits=True)
        assert [(row["status"], row["attempts"]) for row in await logs(p)] == [("sent", 1)]
        assert len(mail_server.accepted) == 2
        assert len({mail["Message-ID"] for mail in mail_server.accepted}) == 1


async def test_a_repeated_event_makes_no_second_mail(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        await register(p)
        await p.deliver()
        await p.sql(
            "UPDATE platform.deliveries SET status = 'pending' WHERE handler = 'notification.user_registered'"
        )
        await p.deliver()
        assert len(await logs(p)) == len(p.mails) == 1


async def test_without_a_mail_server_mails_wait_and_go_out_once_there_is_one(
    platform: PlatformFactory, mail_server: Any
) -> None:
    async with platform(MODULES, seed=essentials, mail=False) as p:
        await register(p)
        await p.deliver(skip_waits=True)
        [row] = await logs(p)
        assert (row["status"], row["attempts"]) == ("queued", 0)
        assert row["error"] == "not configured: SMTP_URL is not set"
        readiness = (await p.client.get("/health/ready")).json()
        assert readiness["status"] == "degraded"
        assert readiness["checks"]["mail"] != "ok"
        await p.execute(ReleaseHeldEmails())
        assert (await logs(p))[0]["held_at"] is not None
        async with platform(MODULES, beside=p, settings={"SMTP_URL": mail_server.url}) as other:
            assert (await other.client.get("/health/ready")).json()["checks"]["mail"] == "ok"
            await other.execute(ReleaseHeldEmails())
            await other.deliver()
            assert [row["status"] for row in await logs(p)] == ["sent"]
            assert len(mail_server.accepted) == 1


async def test_a_channel_that_stays_blocked_keeps_no_other_ones_mails_waiting(
    platform: PlatformFactory,
) -> None:
    async with platform(MODULES, seed=essentials, mail=False) as p:
        await register(p)
        await p.deliver()
        await p.sql(
            "INSERT INTO notification.email_logs (id, version, created_at, updated_at, event_id, kind, user_id,"
            " channel, recipient, data, subject, status, attempts, held_at) SELECT gen_random_uuid(), 1, now(), now(),"
            " gen_random_uuid(), kind, user_id, 'pager', 'pager:ada', data, subject, 'queued', 0,"
            " held_at - interval '1 hour' FROM notification.email_logs, generate_series(1, 600)"
        )
        async with platform(MODULES, beside=p, mail=True) as other:
            await other.execute(ReleaseHeldEmails())
            await other.deliver()
            by_mail = "SELECT status FROM notification.email_logs WHERE channel = 'email'"
            assert await p.sql(by_mail) == [{"status": "sent"}]


async def test_nobody_writes_to_an_account_that_is_gone(platform: PlatformFactory, mail_server: Any) -> None:
    mail_server.answer("MAIL", ["451 later"])
    async with platform(MODULES, seed=essentials, settings={"SMTP_URL": mail_server.url}) as p:
        await register(p)
        await p.deliver()
        await p.sql("UPDATE user_management.users SET deleted_at = now()")
        await p.deliver(skip_waits=True)
        assert mail_server.accepted == []
        assert [(row["status"], row["error"]) for row in await logs(p)] == [("failed", "the account is gone")]


async def test_hostile_names_stay_text(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        await register(p, full_name="<script>x</script> {{ 7*7 }}")
        await register(p, full_name="{{ config }}", email="b@example.org", username="bea")
        await p.deliver()
        first, second = sorted(p.mails, key=lambda mail: mail.recipients)
        assert "<script>" not in (first.html or "")
        assert "49" not in (first.text or "")
        assert "{{ config }}" in (second.text or "")


async def test_a_broken_template_of_an_administrator_does_not_stop_the_mail(
    platform: PlatformFactory,
) -> None:
    async with platform(MODULES, seed=essentials) as p:
        await p.sql(
            "INSERT INTO notification.templates (id, version, created_at, updated_at, kind, channel, locale, subject,"
            " text) VALUES (gen_random_uuid(), 1, now(), now(), 'user_management.user_registered', 'email', 'en',"
            " 'Mine', '{{ gone }}')"
        )
        await register(p)
        await p.deliver()
        assert [mail.subject for mail in p.mails] == ["Welcome to Platform Core"]


async def test_no_token_and_no_text_is_stored_or_logged(
    platform: PlatformFactory, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with platform(MODULES, seed=essentials) as p:
        await register(p)
        await p.client.post("/api/v1/auth/password-reset", json={"email": ADA["email"]})
        await p.deliver()
        tokens = [token(mail.text) for mail in p.mails]
        assert len(tokens) == 2
        stored = ""
        for table in await p.sql(
            "SELECT table_schema || '.' || table_name AS name FROM information_schema.tables"
            " WHERE table_schema IN ('notification', 'platform', 'audit', 'user_management')"
            " AND table_type = 'BASE TABLE'"
        ):
            stored += json.dumps(await p.sql(f"SELECT to_jsonb(t) AS row FROM {table['name']} t"))
        said = capfd.readouterr()
        for secret in tokens:
            for part in secret.split("."):
                assert part not in stored + said.out + said.err + caplog.text
        assert "somebody entered your address" not in stored + said.out + said.err
