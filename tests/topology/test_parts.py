"""
Each part is killed in turn while clients read and write, and comes back: B8, B11, B13, B17 to B19, and the rest.

What clients meet meanwhile is counted and printed; what they were told is compared with what is there afterwards.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from topology_rig.life import Life
from topology_rig.people import People

from platform_core.testing import eventually

if TYPE_CHECKING:
    from topology_rig.part import Part
    from topology_rig.site import Site

DOWN_SECONDS = 8.0
WITHIN = 180.0

Tell = Callable[[Any], None]


async def restart(part: Part, seconds: float = DOWN_SECONDS) -> float:
    """`kill -9`, leave it down for a while, start it; returns the seconds of the start."""
    part.kill()
    await asyncio.sleep(seconds)
    return await asyncio.to_thread(part.start)


@pytest.mark.parametrize("part", ["redis", "standby", "mail", "collector"])
async def test_nobody_notices_that_it_is_away(site: Site, living: Life, part: str, tell: Tell) -> None:
    """B8 is `redis`; each of these is something that the platform can do without."""
    victim = {
        "redis": site.redis,
        "standby": site.standby.part,
        "mail": site.mail,
        "collector": site.collector,
    }[part]
    await restart(victim)
    await living.goes_on()
    living.only()
    tell({part: living.seen()})


async def test_b11_a_primary_that_crashes_costs_answers_of_503_until_it_is_back(
    site: Site, living: Life, tell: Tell
) -> None:
    site.primary.crash()
    await asyncio.sleep(DOWN_SECONDS / 2)
    await asyncio.to_thread(site.primary.part.start)
    back = await living.goes_on()
    tell({"seconds from ready until ten writes are acknowledged": back, **living.seen()})
    living.only("503", "503 unavailable", "409 request-in-progress", "409 concurrent-update")


async def test_b13_a_standby_takes_over_and_nothing_is_missing_that_was_acknowledged(
    site: Site, living: Life, tell: Tell
) -> None:
    """With synchronous replication; without it, the last moments before the crash are lost with the primary."""
    primary, standby = site.primary, site.standby
    primary.ask("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
    primary.ask("SELECT pg_reload_conf()")
    await living.goes_on()
    living.look_from_here()
    primary.crash()
    crashed = time.monotonic()
    standby.promote()
    standby.ask("ALTER SYSTEM RESET synchronous_standby_names")
    standby.ask("SELECT pg_reload_conf()")
    site.primary, site.standby = standby, primary
    site.point_at(standby, primary)
    await living.goes_on()
    away = time.monotonic() - crashed
    tell({"seconds from the crash until ten writes are acknowledged": away, **living.seen()})
    living.only("503", "503 unavailable", "409 request-in-progress", "409 concurrent-update")
    await asyncio.to_thread(primary.follow_anew, standby)
    living.look_from_here()
    await living.goes_on()
    living.only()


async def test_b17_b18_without_files_everything_else_goes_on_and_no_file_is_half_there(
    site: Site, people: People, living: Life, tell: Tell
) -> None:
    ann, content = await people.register("ann"), secrets.token_bytes(3_000_000)
    kept = (await ann.upload("kept.bin", content)).json()
    before = set(await asyncio.to_thread(site.s3.objects))
    living.look_from_here()
    slow = asyncio.create_task(ann.upload("cut.bin", secrets.token_bytes(30_000_000)))
    await asyncio.sleep(0.3)
    site.s3.kill()
    began = time.monotonic()
    refused = await ann.upload("new.bin", content)
    waited = time.monotonic() - began
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/unavailable"), refused.text
    assert "retry-after" in refused.headers
    gone = await ann.client.get(f"/files/{kept['id']}/content")
    assert gone.status_code == 503, gone.text
    await asyncio.sleep(DOWN_SECONDS / 2)
    await asyncio.to_thread(site.s3.start)
    living.only()
    tell({"seconds until an upload is refused": waited, **living.seen()})
    cut = await slow
    assert cut.status_code in (201, 503), cut.text

    async def stored() -> bool:
        return (await ann.upload(f"{secrets.token_hex(3)}.bin", content)).status_code == 201

    await eventually(stored, within_seconds=WITHIN)
    assert (await ann.client.get(f"/files/{kept['id']}/content")).content == content
    for file in (await ann.get("/files"))["items"]:
        whole = await ann.client.get(f"/files/{file['id']}/content")
        assert (whole.status_code, len(whole.content)) == (200, file["size"]), file
    assert before <= set(await asyncio.to_thread(site.s3.objects))


async def test_b19_without_a_scanner_nothing_is_served_that_nobody_looked_at(
    site: Site, people: People, living: Life, tell: Tell
) -> None:
    ann = await people.register("ann")
    site.clamd.kill()
    answer = await ann.upload("waits.txt", b"Nobody looked at this.")
    file = answer.json()
    assert (answer.status_code, file["status"]) == (202, "quarantined"), answer.text
    assert (await ann.client.get(f"/files/{file['id']}/content")).status_code == 409
    await asyncio.to_thread(site.clamd.start)

    async def scanned() -> bool:
        return bool((await ann.get(f"/files/{file['id']}"))["status"] == "completed")

    waited = await eventually(scanned, within_seconds=300)
    assert (await ann.client.get(f"/files/{file['id']}/content")).content == b"Nobody looked at this."
    living.only()
    tell({"seconds from the scanner's return until the file is served": waited, **living.seen()})


@pytest.mark.parametrize("name", ["api 1", "worker 1"])
async def test_one_process_of_two_is_killed(site: Site, living: Life, name: str, tell: Tell) -> None:
    """Reads go to the other at once; a write that the dead one had in hand is refused, and settled by its key."""
    started = await restart(site.processes[name].part, DOWN_SECONDS / 2)
    await living.goes_on()
    tell({f"{name}: seconds of its start": started, **living.seen()})
    if name == "api 1":
        living.only("503 unavailable", "409 request-in-progress")
        assert set(living.seen()["read"]) == {"200"}
    else:
        living.only()


async def test_the_other_scheduler_acts_when_the_one_that_did_is_killed(
    site: Site, living: Life, tell: Tell
) -> None:
    async def one_acts() -> bool:
        return len(await asyncio.to_thread(site.acting_schedulers)) == 1

    await eventually(one_acts, within_seconds=WITHIN)
    [acting] = site.acting_schedulers()
    site.processes[acting].part.kill()
    waited = await eventually(one_acts, within_seconds=WITHIN)
    assert site.acting_schedulers() != [acting]
    await asyncio.to_thread(site.start, acting)
    assert len(site.acting_schedulers()) == 1
    living.only()
    tell({"seconds until the other acts": waited, **living.seen()})


async def test_while_nginx_is_away_nobody_is_answered_and_nothing_is_lost(
    site: Site, living: Life, tell: Tell
) -> None:
    await restart(site.front.part, DOWN_SECONDS / 4)
    await living.goes_on()
    tell(living.seen())
    broken = {"ConnectError", "ReadError", "RemoteProtocolError", "WriteError"}
    living.only(*broken, "409 request-in-progress")
