"""
A rolling upgrade under load, from an earlier commit to this one, back, and forward again: B31.

    expand ──► schedulers ──► workers ──► each API: out of the rotation, stopped, started anew, back in

`nox -s topology` makes an environment of the earlier commit and names its interpreter in PLATFORM_TOPOLOGY_EARLIER.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from topology_rig.life import CLOSED, life
from topology_rig.people import people

if TYPE_CHECKING:
    from topology_rig.site import Site

EARLIER = os.environ.get("PLATFORM_TOPOLOGY_EARLIER", "")
SIDE_BY_SIDE_SECONDS = 20.0
"""Both builds serve for so long, before the one goes on replacing the other."""


@pytest.fixture
def earlier() -> Iterator[Site]:
    """The topology as the earlier build has migrated it and runs it."""
    from topology_rig.site import site

    assert EARLIER, "nox -s topology makes an environment of the commit before and names it here"
    with site(EARLIER) as running:
        yield running


def roll(site: Site, python: str) -> None:
    """Replace every process, one at a time; what is put back into the rotation is ready."""
    for name in site.processes:
        site.exchange(name, python=python)
        time.sleep(SIDE_BY_SIDE_SECONDS / len(site.processes))


async def test_b31_a_rolling_upgrade_and_the_way_back_cost_no_answer(
    earlier: Site, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    site, this = earlier, sys.executable
    figures = {}
    async with people(site) as everybody, life(everybody, tmp_path) as living:
        for way, python in {"upgrade": this, "way back": EARLIER, "upgrade again": this}.items():
            living.look_from_here()
            began = time.monotonic()
            if way == "upgrade":
                await asyncio.to_thread(site.migrate, "--phase", "expand", python=this)
            await asyncio.to_thread(roll, site, python)
            await living.goes_on()
            figures[way] = {"seconds": round(time.monotonic() - began), **living.seen()}
        await asyncio.to_thread(site.migrate, "--phase", "contract", python=this)
        await living.goes_on()
    await living.check()
    record_property("chaos", json.dumps(figures, indent=1))
    answered = [line["status"] for line in site.front.requests()]
    assert [status for status in answered if status >= 500] == []
    assert {status for seen in figures.values() for status in seen["read"]} <= {"200", *CLOSED}, figures
