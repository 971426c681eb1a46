"""The inbox, over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

from notification.application.inbox import (
    CountUnread,
    DeleteNotification,
    ListNotifications,
    MarkAllRead,
    MarkRead,
)
from notification.testing import announce
from platform_core.domain import PageRequest, new_id
from platform_core.security import Principal
from platform_core.testing import PlatformFactory
from user_management.testing import Account, essentials, sign_up

MODULES = ["user_management", "notification"]
URL = "/api/v1/notifications"


async def entries(account: Account, **params: str) -> list[dict[str, Any]]:
    answer = await account.client.get(URL, params=params)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def unread_count(account: Account) -> int:
    answer = await account.client.get(f"{URL}/unread-count")
    assert answer.status_code == 200, answer.text
    count: int = answer.json()["count"]
    return count


async def test_entries_are_listed_read_and_thrown_away(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve, ben = await sign_up(p, "eve"), await sign_up(p, "ben")
        for title in ("First", "Second", "Third"):
            await announce(p, eve.id, title=title, text="Paint the fence.")
        third, second, first = await entries(eve)
        assert [entry["title"] for entry in (first, second, third)] == ["First", "Second", "Third"]
        assert first.keys() == {"id", "kind", "title", "body", "data", "is_read", "created_at", "read_at"}
        assert (first["kind"], first["body"]) == ("notification.announcement", "Paint the fence.")
        assert first["data"] == {"title": "First", "text": "Paint the fence."}
        assert (first["is_read"], first["read_at"]) == (False, None)
        assert await unread_count(eve) == 3
        for _ in range(2):  # reading twice is nothing new
            assert (await eve.client.post(f"{URL}/{second['id']}/read")).status_code == 204
        assert await unread_count(eve) == 2
        assert [entry["title"] for entry in await entries(eve, unread="true")] == ["Third", "First"]
        [read] = [entry for entry in await entries(eve) if entry["is_read"]]
        assert read["id"] == second["id"]
        assert read["read_at"] is not None
        assert (await eve.client.delete(f"{URL}/{third['id']}")).status_code == 204
        assert (await eve.client.delete(f"{URL}/{third['id']}")).status_code == 404
        assert (await eve.client.post(f"{URL}/{third['id']}/read")).status_code == 404
        assert [entry["title"] for entry in await entries(eve)] == ["Second", "First"]
        assert (await eve.client.post(f"{URL}/read-all")).status_code == 204
        assert await unread_count(eve) == 0
        assert await entries(ben) == []


async def test_nobody_touches_somebody_elses_inbox(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve, ben = await sign_up(p, "eve"), await sign_up(p, "ben", permissions=["*"])
        await announce(p, eve.id)
        [entry] = await entries(eve)
        for answer in (
            await ben.client.post(f"{URL}/{entry['id']}/read"),
            await ben.client.delete(f"{URL}/{entry['id']}"),
            await ben.client.delete(f"{URL}/{new_id()}"),
        ):
            assert answer.status_code == 404
        assert (await ben.client.post(f"{URL}/read-all")).status_code == 204
        assert await entries(eve) == [entry]
        for method, path in (("GET", ""), ("GET", "/unread-count"), ("POST", "/read-all")):
            assert (await p.client.request(method, f"{URL}{path}")).status_code == 401


async def test_pages_of_an_inbox_follow_each_other(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        for number in range(5):
            await announce(p, eve.id, title=f"{number}")
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = (
                await eve.client.get(URL, params={"limit": 2, **({"cursor": cursor} if cursor else {})})
            ).json()
            found += [entry["title"] for entry in page["items"]]
            if not (cursor := page["next_cursor"]):
                break
            await announce(p, eve.id, title="comes in between")
        assert found == ["4", "3", "2", "1", "0"]


async def test_an_inbox_costs_one_statement_to_read_and_one_to_change(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        await announce(p, eve.id)
        acting, first = p.acting_as(Principal(user_id=eve.id)), PageRequest(limit=1)
        [entry] = (await acting.ask(ListNotifications(page=first))).items
        for query in (
            ListNotifications(page=first),
            ListNotifications(page=first, unread=True),
            CountUnread(),
        ):
            with p.count_statements() as traffic:
                await acting.ask(query)
            assert traffic.count == 1, traffic
        for command in (
            MarkRead(notification_id=entry.id),
            MarkAllRead(),
            DeleteNotification(notification_id=entry.id),
        ):
            with p.count_statements() as traffic:
                await acting.execute(command)
            assert traffic.count == 1, traffic


async def test_what_comes_while_everything_is_marked_as_read_stays_unread_or_is_read_whole(
    platform: PlatformFactory,
) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        await announce(p, eve.id)
        for _ in range(5):
            await asyncio.gather(announce(p, eve.id), eve.client.post(f"{URL}/read-all"), announce(p, eve.id))
        unread = await entries(eve, unread="true", limit="200")
        assert len(unread) == await unread_count(eve)
        assert all(
            entry["is_read"] == (entry["read_at"] is not None) for entry in await entries(eve, limit="200")
        )


async def test_security_is_told_in_the_inbox_and_links_never_are(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        off = {"channels": {"in_app": False, "email": False}}
        assert (await eve.client.put(f"{URL}/preferences", json=off)).status_code == 200
        await eve.client.post("/api/v1/auth/password-reset", json={"email": eve.email})
        passwords = {"current_password": eve.password, "new_password": "another long sentence"}
        assert (await eve.client.post("/api/v1/users/me/password", json=passwords)).status_code == 204
        await p.deliver()
        assert [entry["title"] for entry in await entries(eve)] == [
            "Your password for Platform Core was changed"
        ]
        assert "token=" not in str(await p.sql("SELECT title, body, data FROM notification.notifications"))
