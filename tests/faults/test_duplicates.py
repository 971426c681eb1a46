"""The same thing twice, twenty times, fifty times at once (B22, B48), and messages that nobody of ours sent."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx2
import pytest
from fault_rig.house import Api, House, eventually

from platform_core.testing.chaos import RedisServer

if TYPE_CHECKING:
    from conftest import NewHouse

Figure = Callable[[str, object], None]

STREAM = "platform:bell"


async def test_b22_a_delivery_that_runs_fifty_times_at_once_has_one_effect(
    house: House, record_property: Figure
) -> None:
    """
    Three workers run each delivery twenty-five times at once, and its lease is taken from them again and again.

    Red when the completion does not ask for the lease token.
    """
    api, *workers = await asyncio.gather(house.api(), *(house.worker(copies=25) for _ in range(3)))
    await asyncio.gather(*(house.mark(api.client, f"mark {number}", work_ms=400) for number in range(12)))
    for _ in range(20):
        await house.sql("UPDATE platform.deliveries SET available_at = now() WHERE status = 'pending'")
        await asyncio.sleep(0.1)
    await house.settled()
    [found] = await house.sql(
        "SELECT count(DISTINCT pid) AS winners, sum(attempts_count)::int AS leases FROM platform.deliveries d"
        " JOIN tally.effects e USING (event_id)"
    )
    record_property("runs of 12 events", found["leases"] * 25)
    assert found["leases"] * 25 >= 12 * 50
    await house.check()
    assert [worker.exit_code for worker in workers] == [None] * 3
    errors = [line for worker in workers for line in worker.output.splitlines() if '"level":"error"' in line]
    assert errors == []


async def test_b22_a_worker_that_lost_its_lease_and_took_it_again_keeps_the_second_one(
    new_house: NewHouse,
) -> None:
    """
    As after an outage of the database in which leases could not be extended: the old run is still going on.

    Red when the end of the old run makes the worker forget the new one: its lease runs out, and there is a third.
    """
    async with new_house({"PLATFORM_LEASE_SECONDS": "1"}) as house:
        api, worker = await asyncio.gather(house.api(), house.worker())
        await house.mark(api.client, "long", work_ms=5000)
        await eventually(lambda: _is_taken_again(house))
        await house.check()
        assert await house.value("SELECT attempts_count FROM platform.deliveries") == 2
        assert worker.exit_code is None


async def _is_taken_again(house: House) -> bool:
    """Let the lease run out, again and again: whoever holds it extends it three times a second."""
    await house.sql("UPDATE platform.deliveries SET available_at = now() WHERE attempts_count = 1")
    return bool(await house.value("SELECT count(*) FROM platform.deliveries WHERE attempts_count = 2"))


async def test_b22_forged_messages_ring_at_most(
    new_house: NewHouse, redis_server: RedisServer, tmp_path: Path, record_property: Figure
) -> None:
    """Red when messages are pickled, and when a message that cannot be read ends the listener."""
    settings = {"REDIS_URL": redis_server.url, "PLATFORM_POLL_SECONDS": "3"}
    async with new_house(settings) as house:
        api, worker = await asyncio.gather(house.api(), house.worker())
        await house.mark(api.client, "before")
        await house.settled()
        marker = tmp_path / "executed"
        with redis_server.client() as client:
            real = [fields for _, fields in client.xrange(STREAM)]
            assert real
            for fields in [*_forged(marker), *(real[:1] * 50)]:
                client.xadd(STREAM, fields)
            entry_bytes = 8 * 1024 * 1024
            client.xadd(STREAM, {"data": os.urandom(entry_bytes)})
            client.xadd(STREAM, {"data": b'{"task_id": "' + b"x" * entry_bytes})

        await eventually(lambda: _rings(house, api))

        assert not marker.exists()
        assert worker.exit_code is None
        record_property("bytes logged about 16 MiB of forged messages", len(worker.output))
        assert len(worker.output) < 1024 * 1024
        await house.check()


def _forged(marker: Path) -> list[dict[str, bytes]]:
    look = {"task_id": "1", "task_name": "platform.look", "labels": {}, "args": [["x"]], "kwargs": {}}
    variants: list[Any] = [
        {**look, "task_name": "os:system", "args": [f"touch {marker}"]},
        {**look, "task_name": "platform.purge"},
        {**look, "args": [{"nested": [None] * 1000}], "kwargs": {"ids": 7, "self": None}},
        {**look, "args": [], "kwargs": {"__class__": "x"}},
        {
            **look,
            "labels": {"timeout": -1, "delay": "NaN", "retry_on_error": True, "queue_name": "elsewhere"},
        },
        {**look, "labels": {"timeout": "x"}, "labels_types": {"timeout": 99}},
        {**look, "labels": []},
        [],
        None,
        "look",
    ]
    texts = [json.dumps(variant).encode() for variant in variants]
    texts += [
        b"",
        b"\x00\xff\xfe",
        b"{",
        b"[" * 100_000,
        b'{"task_name": 1e400}',
        pickle.dumps(_Touch(marker)),
    ]
    return [{"data": text} for text in texts] + [{"other": b"field"}, {"data": b"x", "data2": b"y"}]


class _Touch:
    """Makes a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self._path}",)


async def _rings(house: House, api: Api) -> bool:
    """Whether an event is handled in less time than a poll takes, by far."""
    count = await house.value("SELECT count(*) FROM tally.marks")
    await house.mark(api.client, f"ring {count}")
    await asyncio.sleep(0.5)
    return await house.value("SELECT count(*) FROM platform.deliveries WHERE status = 'pending'") == 0


# ── Idempotency-Key ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def apis(house: House) -> list[Api]:
    return list(await asyncio.gather(house.api(), house.api()))


async def test_b48_twenty_parallel_posts_with_one_key_have_one_effect(house: House, apis: list[Api]) -> None:
    """
    Over two processes; nobody hears anything but the first answer or "still running".

    Red when the key is looked up before it is reserved, and when the body is no part of it.
    """
    for round_number in range(5):
        name = f"ada{round_number}"
        answers = await asyncio.gather(
            *(house.register(apis[number % 2].client, name, key=name) for number in range(20))
        )
        codes = Counter(answer.status_code for answer in answers)
        assert set(codes) <= {201, 409}, codes
        created = [answer for answer in answers if answer.status_code == 201]
        assert len({answer.json()["id"] for answer in created}) == 1
        assert len([answer for answer in created if "idempotent-replayed" not in answer.headers]) == 1
        problems = {answer.json()["type"] for answer in answers if answer.status_code == 409}
        assert problems <= {"/problems/request-in-progress"}
        replayed = await house.register(apis[1].client, name, key=name)
        assert (replayed.status_code, replayed.json()) == (201, created[0].json())
        assert replayed.headers["idempotent-replayed"] == "true"

    other = await house.mark(apis[0].client, "another route", key="ada0")
    assert other.status_code == 201

    changed = {"email": "eve@example.com", "username": "eve", "password": "a long enough sentence"}
    refused = await apis[1].client.post(
        "/api/v1/users/register", json=changed, headers={"Idempotency-Key": "ada0"}
    )
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"

    await _check_users_do_not_share_keys(house, apis)
    await house.worker()
    await house.check()


async def _check_users_do_not_share_keys(house: House, apis: list[Api]) -> None:
    """Users are independent of each other, and of visitors."""
    ids = set()
    for name in ("ada0", "ada1"):
        token = (await house.log_in(apis[0].client, name)).json()["access_token"]
        for api in apis:
            me = await house.visitor(api.url, token)
            body = {"text": "mine", "work_ms": 0}
            answer = await me.post(
                "/api/v1/tally/own-marks", json=body, headers={"Idempotency-Key": "shared"}
            )
            assert answer.status_code == 201
            ids.add(answer.json()["id"])
            house.marks[f"of {name}"] = UUID(answer.json()["id"])
    assert len(ids) == 2


async def test_b48_while_the_first_is_running_others_are_told_to_wait(house: House, apis: list[Api]) -> None:
    """Red when the second request waits for the first one, or runs beside it."""
    async with house.locked("tally.marks"):
        first = asyncio.create_task(house.mark(apis[0].client, "one", key="slow"))
        await eventually(lambda: _is_blocked(house))
        for api in apis:
            second = await house.mark(api.client, "one", key="slow")
            assert second.status_code == 409
            assert second.json()["type"] == "/problems/request-in-progress"
            assert int(second.headers["retry-after"]) >= 1
    answer = await first
    assert answer.status_code == 201
    third = await house.mark(apis[1].client, "one", key="slow")
    assert (third.status_code, third.json()) == (201, answer.json())
    assert await house.value("SELECT count(*) FROM tally.marks") == 1


async def test_b48_a_refused_request_is_refused_again_and_a_failed_one_may_be_repeated(
    house: House, apis: list[Api]
) -> None:
    """Red when every answer is kept: a failure of ours would be final."""
    assert (await house.register(apis[0].client, "ada", key="first")).status_code == 201
    taken = [await house.register(api.client, "ada", key="second") for api in apis]
    assert [answer.status_code for answer in taken] == [409, 409]
    assert {answer.json()["type"] for answer in taken} == {"/problems/email-taken"}
    assert [answer.headers.get("idempotent-replayed") for answer in taken] == [None, "true"]

    async with house.locked("tally.marks"):
        failed = asyncio.create_task(house.mark(apis[0].client, "one", key="third"))
        await eventually(lambda: _is_blocked(house))
        await house.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'platform/tally/%%' AND wait_event_type = 'Lock'"
        )
        unlucky = await failed
    assert _is_try_again(unlucky)

    # nobody waits for Redis to hear that the key is free: the answer said "in a second"
    async def is_repeated() -> bool:
        return (await house.mark(apis[1].client, "one", key="third")).status_code == 201

    await eventually(is_repeated)
    assert await house.value("SELECT count(*) FROM tally.marks") == 1


def _is_try_again(answer: httpx2.Response) -> bool:
    is_problem = answer.headers["content-type"] == "application/problem+json"
    return answer.status_code == 503 and is_problem and int(answer.headers["retry-after"]) >= 1


async def _is_blocked(house: House) -> bool:
    return await house.blocked_count() == 1
