"""What somebody wants to hear of, over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

from platform_core.testing import PlatformFactory
from user_management.testing import essentials, sign_up

MODULES = ["user_management", "notification"]
URL = "/api/v1/notifications/preferences"
DEFAULTS = {"email": True, "sms": False, "push": False, "in_app": True}
KIND = "user_management.password_changed"


async def test_preferences_begin_with_the_defaults_and_are_replaced_as_a_whole(
    platform: PlatformFactory,
) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve, bob = await sign_up(p, "eve"), await sign_up(p, "bob")
        assert (await eve.client.get(URL)).json() == {"channels": DEFAULTS, "kinds": {}, "quiet_hours": None}
        wanted: dict[str, Any] = {
            "channels": {**DEFAULTS, "email": False},
            "kinds": {KIND: {"email": False}},
            "quiet_hours": {"start": "22:00", "end": "07:00", "timezone": "Europe/Berlin"},
        }
        answer = await eve.client.put(URL, json=wanted)
        assert (answer.status_code, answer.json()) == (200, wanted)
        assert (await eve.client.get(URL)).json() == wanted
        answer = await eve.client.put(URL, json={"channels": {"sms": True}})
        assert answer.json() == {"channels": {**DEFAULTS, "sms": True}, "kinds": {}, "quiet_hours": None}
        assert (await bob.client.get(URL)).json()["channels"] == DEFAULTS, "they are one's own"


async def test_a_visitor_has_no_preferences(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        assert (await p.client.get(URL)).status_code == 401
        assert (await p.client.put(URL, json={})).status_code == 401


async def test_a_stale_change_is_refused(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        tag = (await eve.client.get(URL)).headers["etag"]
        first = await eve.client.put(URL, json={"channels": {"sms": True}}, headers={"If-Match": tag})
        assert first.status_code == 200
        second = await eve.client.put(URL, json={"channels": {"push": True}}, headers={"If-Match": tag})
        assert second.status_code == 412


async def test_whoever_says_it_first_at_the_same_time_is_heard_and_the_last_word_holds(
    platform: PlatformFactory,
) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        told = [{"channels": {**DEFAULTS, "sms": number % 2 == 0}} for number in range(12)]
        answers = await asyncio.gather(*(eve.client.put(URL, json=one) for one in told))
        assert [answer.status_code for answer in answers] == [200] * len(told)
        assert (await eve.client.get(URL)).json() in [answer.json() for answer in answers]
        assert await p.sql("SELECT count(*) FROM notification.notification_preferences") == [{"count": 1}]


async def test_of_those_who_name_the_same_version_at_the_same_time_one_is_heard(
    platform: PlatformFactory,
) -> None:
    """If-Match holds for the first words too, although there is no row yet that could have a version."""
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        condition = {"If-Match": (await eve.client.get(URL)).headers["etag"]}
        told = [
            {"quiet_hours": {"start": f"{20 + n}:00", "end": "07:00", "timezone": "UTC"}} for n in range(4)
        ]
        answers = await asyncio.gather(*(eve.client.put(URL, json=one, headers=condition) for one in told))
        assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"channels": {"pigeon": True}}, "/body/channels/pigeon"),
    ({"kinds": {"no.such": {"email": True}}}, "/body/kinds/no.such"),
    ({"kinds": {KIND: {"pigeon": True}}}, f"/body/kinds/{KIND}/pigeon"),
    ({"channels": {"email": "yes"}}, "/body/channels/email"),
    ({"quiet_hours": {"start": "22:00", "end": "7", "timezone": "UTC"}}, "/body/quiet_hours/end"),
    ({"quiet_hours": {"start": "24:00", "end": "07:00", "timezone": "UTC"}}, "/body/quiet_hours/start"),
    ({"quiet_hours": {"start": "22:00", "end": "07:00", "timezone": "Moon"}}, "/body/quiet_hours/timezone"),
    ({"quiet_hours": {"start": "22:00", "end": "07:00", "timezone": "UTC", "x": 1}}, "/body/quiet_hours/x"),
    ({"volume": 11}, "/body/volume"),
    ({"user_id": "01a20645-32ca-7233-98cb-b676eeba803c"}, "/body/user_id"),
]


async def test_wrong_preferences_are_refused_with_their_place(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        for body, pointer in WRONG:
            answer = await eve.client.put(URL, json=body)
            assert answer.status_code == 422, answer.text
            assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_a_security_mail_comes_although_everything_is_off(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        await p.deliver()
        off = {"channels": {"email": False}, "kinds": {KIND: {"email": False}}}
        assert (await eve.client.put(URL, json=off)).status_code == 200
        before = len(p.mails)
        await p.client.post("/api/v1/auth/password-reset", json={"email": eve.email})
        await p.deliver()
        assert len(p.mails) == before + 1
