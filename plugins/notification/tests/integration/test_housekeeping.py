"""Seeds, purges, and plans of what is asked often."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from notification.application.housekeeping import PurgeOld
from notification.seeds import SEEDS
from notification.testing import announce
from platform_core.declarations import Tier
from platform_core.testing import PlatformFactory
from user_management.testing import essentials, sign_up

MODULES = ["user_management", "notification"]


async def test_the_seeds_make_inboxes_and_may_run_again(platform: PlatformFactory) -> None:
    async with platform(MODULES) as p:
        await p.seed(Tier.DEVELOPMENT)
        for seed in SEEDS:
            await p.kernel.call("notification", seed.run)
        await p.deliver()
        rows = await p.sql(
            "SELECT user_id, count(*)::int AS n FROM notification.notifications GROUP BY user_id"
        )
        assert [row["n"] for row in rows] == [3] * 4
        assert len(p.mails) == 12


async def test_what_is_old_goes_and_what_is_not_stays(platform: PlatformFactory) -> None:
    settings = {"PLATFORM_NOTIFICATION_KEEP_DAYS": "30", "PLATFORM_NOTIFICATION_KEEP_LOG_DAYS": "60"}
    async with platform(MODULES, seed=essentials, settings=settings) as p:
        eve = await sign_up(p, "eve")
        await announce(p, eve.id)
        await p.deliver()
        for days, inbox, log in ((29, 1, 1), (31, 0, 1), (61, 0, 0)):
            p.clock.advance(days=days)
            await p.execute(PurgeOld())
            p.clock.advance(days=-days)
            assert len(await p.sql("SELECT 1 FROM notification.notifications")) == inbox
            assert len(await p.sql("SELECT 1 FROM notification.email_logs")) == log


async def test_an_inbox_is_read_along_its_indexes_however_full_the_others_are(
    platform: PlatformFactory,
) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        await p.sql(
            "INSERT INTO notification.notifications (id, version, created_at, updated_at, event_id, kind, user_id,"
            " title, body, data, is_read, read_at) SELECT gen_random_uuid(), 1, now(), now(), gen_random_uuid(),"
            " 'a.b', CASE WHEN n % 100 = 0 THEN %(user)s ELSE gen_random_uuid() END, 'Title', '', '{}',"
            " n % 3 = 0, CASE WHEN n % 3 = 0 THEN now() END FROM generate_series(1, 20000) n".replace(
                "n % ", "n %% "
            ),
            user=eve.id,
        )
        await p.sql("ANALYZE notification.notifications")
        base = "FROM notification.notifications WHERE user_id = %(user)s AND deleted_at IS NULL"
        for statement in (
            f"SELECT * {base} ORDER BY position DESC LIMIT 21",
            f"SELECT * {base} AND NOT is_read ORDER BY position DESC LIMIT 21",
            f"SELECT count(*) {base} AND NOT is_read",
            f"SELECT * {base} AND position > 19000 ORDER BY position LIMIT 100",
        ):
            rows: list[dict[str, Any]] = await p.sql(f"EXPLAIN {statement}", user=UUID(str(eve.id)))
            plan = "\n".join(row["QUERY PLAN"] for row in rows)
            assert "Seq Scan" not in plan, plan
            assert "ix_notifications_user_id" in plan, plan


async def test_waiting_messages_are_released_in_parts_and_none_is_forgotten(
    platform: PlatformFactory,
) -> None:
    from notification.application import quiet_hours

    async with platform(MODULES, seed=essentials) as p:
        people = [await sign_up(p, name) for name in ("eve", "ben", "cid")]
        now = p.clock.now()
        wanted = {
            "start": f"{now - timedelta(minutes=1):%H:%M}",
            "end": f"{now + timedelta(hours=1):%H:%M}",
            "timezone": "UTC",
        }
        for person in people:
            url = "/api/v1/notifications/preferences"
            assert (await person.client.put(url, json={"quiet_hours": wanted})).status_code == 200
        for _ in range(3):
            await announce(p, *(person.id for person in people))
        p.clock.advance(hours=2)
        original, quiet_hours._AT_ONCE_COUNT = quiet_hours._AT_ONCE_COUNT, 4
        try:
            for _ in range(3):
                await p.execute(quiet_hours.ReleaseQuietMessages())
        finally:
            quiet_hours._AT_ONCE_COUNT = original
        await p.deliver()
        assert sorted(mail.recipients[0] for mail in p.mails) == sorted(person.email for person in people)
        assert {mail.subject for mail in p.mails} == {"3 notifications while it was quiet"}


async def test_mails_are_found_among_a_great_many_texts(platform: PlatformFactory) -> None:
    async with platform(MODULES) as p:
        await p.sql(
            "INSERT INTO notification.email_logs (id, version, created_at, updated_at, event_id, kind, user_id,"
            " channel, recipient, data, subject, status, attempts) SELECT platform.uuid7(), 1, now(), now(),"
            " gen_random_uuid(), 'a.b', gen_random_uuid(), CASE WHEN n %% 100 = 0 THEN 'email' ELSE 'sms' END,"
            " 'x', '{}', 'x', 'queued', 0"
            " FROM generate_series(1, %(rows)s) n",
            rows=5000,
        )
        await p.sql("ANALYZE notification.email_logs")
        plan = await p.sql(
            "EXPLAIN SELECT * FROM notification.email_logs WHERE channel = 'email' AND deleted_at IS NULL"
            " ORDER BY id DESC LIMIT 20"
        )
        assert "ix_email_logs_channel" in str(plan)
