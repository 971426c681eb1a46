"""Switching a module off and on under load (C94): every process obeys within two seconds, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from fault_rig.house import Api, House, eventually

if TYPE_CHECKING:
    from platform_core.testing import RunPlatform

pytestmark = pytest.mark.long

OBEYED_SECONDS = 2.0

Figure = Callable[[str, object], None]


async def test_c94_every_process_obeys_within_two_seconds_and_the_backlog_is_worked_off(
    house: House, run_platform: RunPlatform, record_property: Figure
) -> None:
    """Red when a process forgets to listen, when a worker claims what is off, and when waiting costs attempts."""
    first, second, *_ = await asyncio.gather(house.api(), house.api(), house.worker(), house.worker())
    for number in range(20):
        assert (await house.mark(first.client, f"before-{number}")).is_success
    await house.settled()

    took = await _switch(house, run_platform, "disable", [first, second], 503)
    record_property("seconds until every API answered 503", round(took, 2))
    assert took < OBEYED_SECONDS
    await house.sql("DELETE FROM tally.effects")
    await house.sql(  # as if it had all happened while the module was off
        "UPDATE platform.deliveries SET status = 'pending', attempts_count = 0, finished_at = NULL,"
        " available_at = now() WHERE handler = 'tally.note'"
    )
    await asyncio.sleep(3)
    assert await _waiting(house) == {("pending", 0): 20}
    assert (await house.register(first.client, "ann")).status_code == 201  # the rest serves

    late = await house.api()  # a process that starts meanwhile obeys from its first request on
    assert (await late.client.get("/api/v1/tally/marks")).status_code == 503

    took = await _switch(house, run_platform, "enable", [first, second, late], 200)
    record_property("seconds until every API served again", round(took, 2))
    assert took < OBEYED_SECONDS
    await house.settled()
    await house.check()  # each mark was heard of once


async def _switch(house: House, run_platform: RunPlatform, verb: str, apis: list[Api], status: int) -> float:
    """Run the command while clients ask all the time; returns the seconds from its commit to the last process."""
    watching = [asyncio.create_task(_first(api, status)) for api in apis]
    with run_platform("modules", verb, "tally", "--json", env=house.p.environment) as process:
        assert await asyncio.to_thread(process.wait) == 0
        assert json.loads(process.output)["changed"] == ["tally"]
    seen = await asyncio.gather(*watching)
    committed = await house.value(
        "SELECT extract(epoch FROM occurred_at)::float8 FROM audit.audit_logs WHERE action = %(action)s",
        action=f"platform.{verb}_module",
    )
    return max(seen) - float(committed)


async def _first(api: Api, status: int) -> float:
    """Return when a process has answered like this for the first time, seconds since 1970."""

    async def answers() -> bool:
        return (await api.client.get("/api/v1/tally/marks")).status_code == status

    await eventually(answers)
    return time.time()


async def _waiting(house: House) -> dict[tuple[str, int], int]:
    rows = await house.sql(
        "SELECT status, attempts_count, count(*) AS n FROM platform.deliveries"
        " WHERE handler = 'tally.note' GROUP BY 1, 2"
    )
    return {(row["status"], row["attempts_count"]): row["n"] for row in rows}
