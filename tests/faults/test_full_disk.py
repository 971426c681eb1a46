"""The disk under PostgreSQL is full: data and write-ahead log (B20)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest
from fault_rig.house import Api, House, eventually

from platform_core.testing._platform import Factory
from platform_core.testing.chaos import PostgresServer

if TYPE_CHECKING:
    from conftest import NewHouse

pytestmark = pytest.mark.long

Figure = Callable[[str, object], None]

DISK_MEGABYTES = 300


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own; needs the right to mount one, which containers mostly do not have."""
    directory = Path(tempfile.mkdtemp(prefix="platform-small-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m,mode=711", "tmpfs", str(directory)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        directory.rmdir()
        pytest.skip("may not mount a tmpfs here")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)
        shutil.rmtree(directory, ignore_errors=True)


async def test_b20_a_full_disk_is_503_and_space_is_all_it_takes(
    new_house: NewHouse, small_disk: Path, fresh_redis_url: str, record_property: Figure
) -> None:
    """
    Nobody restarts or repairs anything but the server itself, which a supervisor does where it gave up.

    Seen red when the pools do not say what a full disk means: it is a 500 then.
    """
    server = PostgresServer(small_disk)
    server.start()
    try:
        factory = Factory(databases=lambda: server, redis_url=lambda: fresh_redis_url)  # type: ignore[arg-type,return-value]  # it has what is asked of it
        async with new_house(factory=factory) as house:
            api, worker = await asyncio.gather(house.api(), house.worker())
            assert (await house.mark(api.client, "there is room", key="room")).status_code == 201
            await house.settled()

            ballast = await asyncio.to_thread(_fill, small_disk)
            refusals = await _until_refused(house, api)
            ballast.unlink()
            for refusal in refusals:
                assert refusal.status_code == 503, refusal.text
                assert refusal.headers["content-type"] == "application/problem+json"
                assert int(refusal.headers["retry-after"]) >= 1
            record_property("refusals with a full disk", len(refusals))
            assert (await api.client.get("/health/live")).status_code == 200
            if not await _answers(house):
                record_property("PostgreSQL gave up and was started again", True)
                await asyncio.to_thread(server.stop)
                await asyncio.to_thread(server.start)

            await eventually(lambda: _makes_one(house, api))
            await house.check(unacknowledged=len(refusals))
            assert (api.process.exit_code, worker.exit_code) == (None, None)
    finally:
        server.stop()


def _fill(disk: Path) -> Path:
    """Take what is left, to the last block."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65_536))
    return ballast


async def _until_refused(house: House, api: Api) -> list[httpx2.Response]:
    """Write until ten requests in a row found no room; PostgreSQL has some left in files that it has already."""
    refusals: list[httpx2.Response] = []
    for number in range(20_000):
        answer = await house.mark(api.client, f"{number} " + "x" * 150, key=f"full-{number}")
        if answer.status_code == 201:
            refusals.clear()
            continue
        refusals.append(answer)
        if len(refusals) == 10:
            return refusals
    raise AssertionError("the disk is never full")


async def _answers(house: House) -> bool:
    with contextlib.suppress(Exception):  # whatever is wrong, it does not answer
        return bool(await house.value("SELECT 1"))
    return False


async def _makes_one(house: House, api: Api) -> bool:
    return (await house.mark(api.client, "room again", key="again")).status_code == 201
