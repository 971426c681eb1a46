"""Devices, over HTTP, and what is pushed to them."""

from __future__ import annotations

import asyncio
from typing import Any

from far_side import Browser, HttpServer, vapid_claims

from notification.infrastructure.web_push import base64url
from notification.testing import announce
from platform_core.testing import PlatformFactory, RunningPlatform
from user_management.testing import Account, essentials, sign_up

MODULES = ["user_management", "notification"]
URL = "/api/v1/notifications/devices"
KEY = base64url(bytes(range(1, 33)))


def pushing(server: HttpServer | None = None, **more: str) -> dict[str, str]:
    """Return settings under which things are pushed, to a server on this machine where one is given."""
    hosts = {"PLATFORM_NOTIFICATION_PUSH_HOSTS": server.origin} if server else {}
    return {"PLATFORM_NOTIFICATION_VAPID_PRIVATE_KEY": KEY, **hosts, **more}


async def subscribe(account: Account, browser: Browser, **more: Any) -> dict[str, Any]:
    answer = await account.client.post(URL, json=browser.subscription | more)
    assert answer.status_code == 201, answer.text
    device: dict[str, Any] = answer.json()
    return device


async def want_pushes(account: Account) -> None:
    wanted = {"channels": {"push": True, "email": False}}
    assert (await account.client.put("/api/v1/notifications/preferences", json=wanted)).status_code == 200


async def logs(p: RunningPlatform) -> list[tuple[str, str, int]]:
    rows = await p.sql("SELECT channel, status, attempts FROM notification.email_logs ORDER BY id")
    return [(row["channel"], row["status"], row["attempts"]) for row in rows]


async def test_devices_are_registered_listed_and_removed(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials, settings=pushing()) as p:
        eve, ben = await sign_up(p, "eve"), await sign_up(p, "ben")
        phone, desk = Browser("https://push.example.com/phone"), Browser("https://push.example.com/desk")
        first = await subscribe(eve, phone, name="Phone")
        second = await subscribe(eve, desk)
        assert first.keys() == {"id", "name", "endpoint", "created_at", "updated_at"}
        listed = (await eve.client.get(URL)).json()["items"]
        assert [device["id"] for device in listed] == [second["id"], first["id"]]
        assert (await ben.client.get(URL)).json()["items"] == []
        assert (await ben.client.delete(f"{URL}/{first['id']}")).status_code == 404
        assert (await eve.client.delete(f"{URL}/{first['id']}")).status_code == 204
        assert (await eve.client.delete(f"{URL}/{first['id']}")).status_code == 404
        again = await subscribe(eve, phone)
        assert again["id"] != first["id"]
        told = await p.sql("SELECT changes::text AS text FROM audit.audit_logs")
        assert "push.example.com/phone" not in str(told), "whoever knows the address may try to send"


async def test_a_device_is_registered_once_whoever_asks_how_often(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve, ben = await sign_up(p, "eve"), await sign_up(p, "ben")
        browser = Browser("https://push.example.com/1")
        made = await asyncio.gather(*(subscribe(eve, browser) for _ in range(5)))
        assert len({device["id"] for device in made}) == 1
        stranger = Browser(browser.endpoint)  # knows the address, and not the keys
        taken = await ben.client.post(URL, json=stranger.subscription)
        assert (taken.status_code, taken.json()["type"]) == (409, "/problems/device-taken")
        # the same browser, with somebody else logged in: nothing of hers appears on it any more
        await subscribe(ben, browser)
        assert (await eve.client.get(URL)).json()["items"] == []
        assert len((await ben.client.get(URL)).json()["items"]) == 1


async def test_there_is_room_for_twenty_devices_however_many_are_registered_at_once(
    platform: PlatformFactory,
) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        bodies = [Browser(f"https://push.example.com/{n}").subscription for n in range(24)]
        answers = [await eve.client.post(URL, json=body) for body in bodies[:17]]
        answers += await asyncio.gather(*(eve.client.post(URL, json=body) for body in bodies[17:]))
        assert {answer.status_code for answer in answers} <= {201, 409}
        stored = await p.sql("SELECT place FROM notification.devices WHERE deleted_at IS NULL")
        assert sum(answer.status_code == 201 for answer in answers) == len(stored) <= 20
        last = [await eve.client.post(URL, json=body) for body in bodies]
        refused = [answer.json()["type"] for answer in last if answer.status_code != 201]
        assert refused == ["/problems/too-many-devices"] * 4
        assert len(await p.sql("SELECT 1 FROM notification.devices")) == 20


async def test_what_is_no_subscription_is_refused_with_its_place(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve, good = await sign_up(p, "eve"), Browser("https://push.example.com/1").subscription
        for body, pointer in (
            (good | {"endpoint": "https://169.254.169.254/latest"}, "/body/endpoint"),
            (good | {"endpoint": 7}, "/body/endpoint"),
            (good | {"keys": good["keys"] | {"p256dh": "AAAA"}}, "/body/keys/p256dh"),
            (good | {"keys": good["keys"] | {"more": "AAAA"}}, "/body/keys/more"),
            (good | {"user_id": str(eve.id)}, "/body/user_id"),
        ):
            answer = await eve.client.post(URL, json=body)
            assert answer.status_code == 422, answer.text
            assert pointer in [error["pointer"] for error in answer.json()["errors"]]
        assert (await p.client.post(URL, json=good)).status_code == 401


async def test_a_message_reaches_every_device_and_only_they_can_read_it(
    platform: PlatformFactory, far_http: HttpServer
) -> None:
    async with platform(MODULES, seed=essentials, settings=pushing(far_http)) as p:
        eve = await sign_up(p, "eve")
        phone, desk = Browser(f"{far_http.origin}/phone"), Browser(f"{far_http.origin}/desk")
        await want_pushes(eve)
        for browser in (phone, desk):
            await subscribe(eve, browser)
        key = (await eve.client.get("/api/v1/notifications/push-key")).json()["public_key"]
        await announce(p, eve.id, title="Grüße", text="All is well.")
        await p.deliver()
        assert {request.path for request in far_http.received} == {"/phone", "/desk"}
        for request in far_http.received:
            browser = phone if request.path == "/phone" else desk
            message = browser.read(request)
            assert (message["title"], message["kind"]) == ("Grüße", "notification.announcement")
            assert message["data"] == {"title": "Grüße", "text": "All is well."}
            claims = vapid_claims(request, key)
            assert (claims["aud"], claims["sub"]) == (far_http.origin, "mailto:no-reply@testserver")
            assert "Grüße".encode() not in request.body
        assert await logs(p) == [("push", "sent", 1)] * 2
        await p.redeliver("notification.send_push")
        assert len(far_http.received) == 2


async def test_what_a_push_service_says_decides_what_becomes_of_message_and_device(
    platform: PlatformFactory, far_http: HttpServer
) -> None:
    async with platform(MODULES, seed=essentials, settings=pushing(far_http)) as p:
        eve = await sign_up(p, "eve")
        await want_pushes(eve)
        await subscribe(eve, Browser(f"{far_http.origin}/1"))
        far_http.answers.extend([429, 503, 201])
        await announce(p, eve.id)
        await p.deliver(skip_waits=True)
        assert await logs(p) == [("push", "sent", 3)]
        assert len({request.headers["topic"] for request in far_http.received}) == 1
        far_http.answers.append(413)
        await announce(p, eve.id)
        await p.deliver()
        assert (await logs(p))[-1] == ("push", "failed", 1)
        far_http.answers.append(410)
        await announce(p, eve.id)
        await p.deliver()
        assert (await logs(p))[-1] == ("push", "failed", 1)
        assert (await eve.client.get(URL)).json()["items"] == []
        count = len(far_http.received)
        await announce(p, eve.id)
        await p.deliver()
        assert len(far_http.received) == count


async def test_nothing_is_pushed_into_our_own_network(
    platform: PlatformFactory, far_http: HttpServer
) -> None:
    """Row 71: an address that becomes an inner one later is refused when it is looked up."""
    port = far_http.origin.rpartition(":")[2]
    async with platform(MODULES, seed=essentials, settings=pushing()) as p:
        eve = await sign_up(p, "eve")
        await want_pushes(eve)
        for number in range(3):
            await subscribe(eve, Browser(f"https://push.example.com/{number}"))
        inner = [f"https://localhost:{port}/", f"https://127.0.0.1:{port}/", f"https://2130706433:{port}/"]
        for place, address in enumerate(inner):
            await p.sql(
                "UPDATE notification.devices SET endpoint = %(address)s WHERE place = %(place)s",
                address=address,
                place=place,
            )
        await announce(p, eve.id)
        await p.deliver(skip_waits=True)
        assert far_http.received == []
        assert {row[1] for row in await logs(p)} == {"failed"}


async def test_without_a_key_nothing_is_pushed_and_nothing_waits(platform: PlatformFactory) -> None:
    settings = {"PLATFORM_NOTIFICATION_VAPID_PRIVATE_KEY": ""}
    async with platform(MODULES, seed=essentials, settings=settings) as p:
        eve = await sign_up(p, "eve")
        assert (await eve.client.get("/api/v1/notifications/push-key")).status_code == 404
        await want_pushes(eve)
        await subscribe(eve, Browser("https://push.example.com/1"))
        await announce(p, eve.id)
        await p.deliver()
        assert await logs(p) == [("push", "failed", 0)]


async def test_a_deleted_account_leaves_no_inbox_device_or_preference(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve, root = await sign_up(p, "eve"), await sign_up(p, "root", permissions=["*"])
        for account in (eve, root):
            await want_pushes(account)
            await subscribe(account, Browser(f"https://push.example.com/{account.username}"))
            await announce(p, account.id)
        await root.client.delete(f"/api/v1/users/{eve.id}")
        await p.deliver()
        for table in ("notifications", "devices", "notification_preferences"):
            assert [row["user_id"] for row in await p.sql(f"SELECT user_id FROM notification.{table}")] == [
                root.id
            ]
