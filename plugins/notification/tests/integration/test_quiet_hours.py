"""What waits for the end of quiet hours, and what becomes of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from notification.application.quiet_hours import ReleaseQuietMessages
from notification.testing import announce
from platform_core.testing import PlatformFactory, RunningPlatform
from user_management.testing import Account, essentials, sign_up

MODULES = ["user_management", "notification"]
URL = "/api/v1/notifications"


async def quiet(p: RunningPlatform, account: Account, *, hours: int = 2, **more: Any) -> None:
    """Let quiet hours go on now, for some two hours."""
    now = p.clock.now()
    start, end = now - timedelta(minutes=5), now + timedelta(hours=hours)
    wanted = {"start": f"{start:%H:%M}", "end": f"{end:%H:%M}", "timezone": "UTC"}
    answer = await account.client.put(f"{URL}/preferences", json={"quiet_hours": wanted, **more})
    assert answer.status_code == 200, answer.text


async def release(p: RunningPlatform) -> None:
    await p.execute(ReleaseQuietMessages())
    await p.deliver()


async def test_a_mail_waits_for_the_end_of_quiet_hours_and_the_inbox_does_not(
    platform: PlatformFactory,
) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve, ben = await sign_up(p, "eve"), await sign_up(p, "ben")
        await quiet(p, eve)
        await announce(p, eve.id, ben.id, title="Late news")
        await p.deliver()
        await release(p)
        assert [mail.recipients for mail in p.mails] == [(ben.email,)]
        assert len((await eve.client.get(URL)).json()["items"]) == 1
        p.clock.advance(hours=2, minutes=1)
        await release(p)
        await release(p)
        assert [(mail.recipients, mail.subject) for mail in p.mails[:-1]] == [((eve.email,), "Late news")]


async def test_several_that_waited_come_as_one_digest(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve, admin = await sign_up(p, "eve"), await sign_up(p, "root", permissions=["*"])
        await quiet(p, eve)
        for number in range(23):
            await announce(p, eve.id, title=f"<b>News {number}</b>")
        await p.deliver()
        p.clock.advance(hours=3)
        # whichever of several runs at once comes first: nothing is told twice
        await asyncio.gather(*(p.execute(ReleaseQuietMessages()) for _ in range(4)), return_exceptions=True)
        await p.deliver()
        [mail] = p.mails
        assert mail.subject == "23 notifications while it was quiet"
        assert "- <b>News 0</b>\n" in (mail.text or "").replace("\r\n", "\n")
        assert "- and 3 more" in (mail.text or "")
        assert "&lt;b&gt;News 0&lt;/b&gt;" in (mail.html or "")
        logs = (await admin.client.get(f"{URL}/email-logs")).json()["items"]
        assert [(log["subject"], log["status"]) for log in logs] == [(mail.subject, "sent")]
        merged = await p.sql("SELECT digest_id FROM notification.email_logs WHERE deleted_at IS NOT NULL")
        assert {str(row["digest_id"]) for row in merged} == {logs[0]["id"]}
        assert len(merged) == 23


async def test_what_is_about_security_does_not_wait(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        await quiet(p, eve)
        await p.client.post("/api/v1/auth/password-reset", json={"email": eve.email})
        await p.deliver()
        assert [mail.subject for mail in p.mails] == ["Choose a new password for Platform Core"]


async def test_who_changes_their_mind_meanwhile_is_heard(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve, ben, cid = [await sign_up(p, name) for name in ("eve", "ben", "cid")]
        for account in (eve, ben, cid):
            await quiet(p, account)
        await announce(p, eve.id, ben.id, cid.id, title="News")
        await p.deliver()
        # no quiet hours any more; longer ones; no mails at all any more
        await eve.client.put(f"{URL}/preferences", json={})
        await quiet(p, ben, hours=5)
        await quiet(p, cid, channels={"email": False})
        await release(p)
        assert [mail.recipients for mail in p.mails] == [(eve.email,)]
        p.clock.advance(hours=3)
        await release(p)
        assert [mail.recipients for mail in p.mails] == [(eve.email,)]
        [row] = await p.sql(
            "SELECT status, error FROM notification.email_logs WHERE user_id = %(id)s", id=cid.id
        )
        assert (row["status"], row["error"]) == ("failed", "it was switched off while it waited")
        p.clock.advance(hours=3)
        await release(p)
        assert [mail.recipients for mail in p.mails] == [(ben.email,), (eve.email,)]


async def test_nothing_waits_for_an_account_that_is_disabled(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        await quiet(p, eve)
        await announce(p, eve.id)
        await p.sql("UPDATE user_management.users SET is_active = false WHERE id = %(id)s", id=eve.id)
        p.clock.advance(hours=3)
        await release(p)
        assert p.mails == ()
        assert [row["status"] for row in await p.sql("SELECT status FROM notification.email_logs")] == [
            "failed"
        ]


async def test_a_repeated_event_does_not_fill_the_digest_twice(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        await quiet(p, eve)
        identity = await announce(p, eve.id, title="Once")
        p.clock.advance(hours=3)
        await release(p)
        await announce(p, eve.id, title="Once", announcement_id=identity)
        await p.deliver()
        assert len(p.mails) == 1
