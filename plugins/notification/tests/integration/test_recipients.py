"""One event and its recipients: who hears of it, how often, and what that costs."""

from __future__ import annotations

from typing import Any

from notification.application.announcements import Announce
from notification.application.notify import AT_ONCE_COUNT
from notification.testing import announce
from platform_core.domain import new_id
from platform_core.testing import PlatformFactory, RunningPlatform
from user_management.testing import essentials, sign_up

MODULES = ["user_management", "notification"]
URL = "/api/v1/notifications"


async def make_crowd(p: RunningPlatform, count: int) -> list[Any]:
    """Make accounts that nobody can log in to, faster than by commands."""
    rows = await p.sql(
        "INSERT INTO user_management.users (id, version, created_at, updated_at, email, username, password_hash,"
        " is_active, email_verified) SELECT gen_random_uuid(), 1, now(), now(), 'crowd-' || n || '@example.com',"
        " 'crowd-' || n, 'x', true, true FROM generate_series(1, %(count)s) n RETURNING id",
        count=count,
    )
    return [row["id"] for row in rows]


async def test_the_number_of_recipients_does_not_change_the_number_of_statements(
    platform: PlatformFactory,
) -> None:
    async with platform(MODULES, seed=essentials) as p:
        crowd = await make_crowd(p, 60)
        await announce(p, *crowd[:2])
        counts = []
        for recipients in (crowd[:1], crowd):
            with p.count_statements() as traffic:
                await announce(p, *recipients)
            counts.append(traffic.count)
        # accounts, preferences, own wording, what is known; and the one that writes
        assert counts == [5, 5], traffic
        assert await p.sql("SELECT count(*)::int AS n FROM notification.notifications") == [{"n": 63}]
        assert await p.sql("SELECT count(*)::int AS n FROM notification.email_logs") == [{"n": 63}]


async def test_thousands_of_recipients_are_told_in_parts_and_each_once(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials, mail=False) as p:
        crowd = await make_crowd(p, AT_ONCE_COUNT * 5 + 1)
        again = Announce(announcement_id=new_id(), recipients=crowd, title="News", text="All is well.")
        for _ in range(2):
            await p.execute(again)
            worker = p.kernel.worker()
            await worker.run_until_idle()
        assert len(await p.deliveries("notification.notify_recipients")) == 6
        per_user = await p.sql(
            "SELECT count(*)::int AS n, count(DISTINCT user_id)::int AS users FROM notification.notifications"
        )
        assert per_user == [{"n": len(crowd), "users": len(crowd)}]
        assert await p.sql("SELECT count(*)::int AS n FROM notification.email_logs") == [{"n": len(crowd)}]


async def test_a_repeated_event_tells_nobody_twice(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        passwords = {"current_password": eve.password, "new_password": "another long sentence"}
        assert (await eve.client.post("/api/v1/users/me/password", json=passwords)).status_code == 204
        await p.deliver()
        await p.redeliver("notification.password_changed")
        assert len(p.mails) == 1
        assert len(await p.sql("SELECT 1 FROM notification.notifications")) == 1


async def test_the_database_itself_refuses_a_second_entry_and_a_second_mail(
    platform: PlatformFactory,
) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        await announce(p, eve.id)
        for table in ("notifications", "email_logs"):
            columns = [
                row["column_name"]
                for row in await p.sql(
                    "SELECT column_name FROM information_schema.columns WHERE table_schema = 'notification'"
                    " AND table_name = %(table)s AND column_name NOT IN ('id', 'position')",
                    table=table,
                )
            ]
            names = ", ".join(columns)
            made = await p.sql(
                f"INSERT INTO notification.{table} (id, {names}) SELECT gen_random_uuid(), {names}"
                f" FROM notification.{table} ON CONFLICT DO NOTHING RETURNING id"
            )
            assert made == []


async def test_who_is_disabled_or_gone_hears_nothing(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve, ben, root = (
            await sign_up(p, "eve"),
            await sign_up(p, "ben"),
            await sign_up(p, "root", permissions=["*"]),
        )
        await announce(p, eve.id, title="Before")
        await p.sql("UPDATE user_management.users SET is_active = false WHERE id = %(id)s", id=eve.id)
        assert (await root.client.delete(f"/api/v1/users/{ben.id}")).status_code == 204
        await announce(p, eve.id, ben.id, new_id(), title="After")
        await p.deliver()
        assert p.mails == ()
        assert await p.sql("SELECT title FROM notification.notifications") == [{"title": "Before"}]
        [row] = await p.sql("SELECT status, error FROM notification.email_logs")
        assert (row["status"], row["error"]) == ("failed", "the account is disabled")


async def test_everybody_reads_it_in_their_own_language_and_an_administrators_words(
    platform: PlatformFactory,
) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve, ben = await sign_up(p, "eve", permissions=["notifications:write"]), await sign_up(p, "ben")
        await ben.client.patch("/api/v1/users/me", json={"locale": "de-AT"})
        own = {
            "kind": "notification.announcement",
            "channel": "in_app",
            "locale": "de",
            "subject": "Mitteilung: {{ title }}",
            "text": "{{ text }} Gruß an {{ name }}",
        }
        assert (await eve.client.post(f"{URL}/templates", json=own)).status_code == 201
        await announce(p, eve.id, ben.id, title="News\r\nBcc: x", text="<b>7*7</b> {{ 7*7 }}")
        [english], [german] = [(await account.client.get(URL)).json()["items"] for account in (eve, ben)]
        assert (english["title"], english["body"]) == ("News Bcc: x", "<b>7*7</b> {{ 7*7 }}")
        assert (german["title"], german["body"]) == (
            "Mitteilung: News Bcc: x",
            "<b>7*7</b> {{ 7*7 }} Gruß an ben",
        )


async def test_preferences_decide_per_kind_and_channel(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve, ben = await sign_up(p, "eve"), await sign_up(p, "ben")
        kind = "notification.announcement"
        await eve.client.put(f"{URL}/preferences", json={"kinds": {kind: {"in_app": False}}})
        await ben.client.put(f"{URL}/preferences", json={"channels": {"email": False}})
        await announce(p, eve.id, ben.id)
        await p.deliver()
        assert [mail.recipients for mail in p.mails] == [(eve.email,)]
        assert [row["user_id"] for row in await p.sql("SELECT user_id FROM notification.notifications")] == [
            ben.id
        ]


async def test_one_of_three_recipients_fails_and_the_others_have_their_mail(
    platform: PlatformFactory, mail_server: Any
) -> None:
    """B15: each recipient has a mail, a status and a fate of their own."""
    mail_server.answer("RCPT", ["550 no such user"])
    async with platform(MODULES, seed=essentials, settings={"SMTP_URL": mail_server.url}) as p:
        people = [await sign_up(p, name) for name in ("ada", "bea", "cid")]
        await announce(p, *(person.id for person in people))
        await p.deliver(skip_waits=True)
        rows = await p.sql("SELECT status, attempts FROM notification.email_logs ORDER BY status")
        assert [(row["status"], row["attempts"]) for row in rows] == [("failed", 1), ("sent", 1), ("sent", 1)]
        assert len(mail_server.accepted) == 2
        assert len(await p.sql("SELECT 1 FROM notification.notifications")) == 3
