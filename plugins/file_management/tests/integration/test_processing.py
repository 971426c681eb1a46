"""Thumbnails, and what hostile pictures may cost: fault B44, row 63; what dies in between is swept."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import struct
import time
import zlib
from uuid import UUID

import psutil
import pytest
from PIL import Image

from file_management import FileProcessed
from file_management.application.tasks import ProcessFile, SweepStorage
from file_management.testing import picture, upload
from platform_core.testing import RunningPlatform
from user_management.testing import Account

API = "/api/v1/files"


def bomb(side: int) -> bytes:
    """A PNG of kilobytes that unpacks to side × side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))

    row = b"\0" + bytes(side // 8 + 1)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack("!IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9000, 13000])
async def test_b44_a_picture_with_too_many_pixels_fails_quickly_and_costs_nothing(
    p: RunningPlatform, eve: Account, side: int
) -> None:
    content = bomb(side)
    assert len(content) < 50_000
    file = await upload(eve.client, "bomb.png", content)
    before, began = psutil.Process().memory_info().rss, time.perf_counter()
    await p.deliver()
    assert time.perf_counter() - began < 10
    assert psutil.Process().memory_info().rss - before < 50 * 1024 * 1024
    failed = (await eve.client.get(f"{API}/{file['id']}")).json()
    assert (failed["status"], failed["has_thumbnail"]) == ("failed", False)
    [event] = await p.events(FileProcessed)
    assert event.error == "rejected: too many pixels"
    assert (await eve.client.get(f"{API}/{file['id']}/content")).content == content


async def test_a_signal_at_the_terminal_does_not_reach_the_process_of_a_picture(
    p: RunningPlatform, eve: Account
) -> None:
    await upload(eve.client, "eve.png", picture(kind="PNG"))
    delivering = asyncio.create_task(p.deliver())
    groups: set[int] = set()
    while not delivering.done():
        for child in await asyncio.to_thread(psutil.Process().children):
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if any(part.endswith("thumbnailer.py") for part in child.cmdline()):
                    groups.add(os.getpgid(child.pid))
        await asyncio.sleep(0.005)
    assert groups
    assert os.getpgid(0) not in groups


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(picture()[:5000], id="cut off"),
        pytest.param(b"GIF89a/*" + b"\0" * 50 + b"*/=1;alert(1)", id="also a script"),
        pytest.param(picture(kind="PNG")[:40] + b"\xff" * 500, id="damaged"),
    ],
)
async def test_b44_what_is_no_picture_fails_once_and_the_worker_goes_on(
    p: RunningPlatform, eve: Account, content: bytes
) -> None:
    file = await upload(eve.client, "a.jpg", content)
    await p.deliver()
    assert (await eve.client.get(f"{API}/{file['id']}")).json()["status"] in ("failed", "completed")
    good = await upload(eve.client, "good.jpg", picture())
    await p.deliver()
    assert (await eve.client.get(f"{API}/{good['id']}")).json()["status"] == "completed"


async def test_row_63_a_thumbnail_says_nothing_of_where_and_when(p: RunningPlatform, eve: Account) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    exif[0x010F] = "Camera of Eve"
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2] = "N", (52.0, 31.0, 12.0)
    file = await upload(eve.client, "a.jpg", picture(600, 300, exif=exif))
    await p.deliver()
    thumbnail = (await eve.client.get(f"{API}/{file['id']}/thumbnail")).content
    with Image.open(io.BytesIO(thumbnail)) as image:
        assert image.size == (128, 256), "it stands upright"
        assert dict(image.getexif()) == {}
    assert b"Camera" not in thumbnail
    assert b"Camera" in (await eve.client.get(f"{API}/{file['id']}/content")).content


async def test_processing_again_what_has_gone_on_is_nothing(p: RunningPlatform, eve: Account) -> None:
    file = await upload(eve.client, "a.jpg", picture())
    await p.deliver()
    for number in (1, 2):
        await p.execute(ProcessFile(file_id=UUID(file["id"]), file_version=number))
    assert len(await p.events(FileProcessed)) == 1
    assert len(await p.kernel.storage.objects("file_management/derived")) == 1


async def test_b17_content_that_is_not_what_was_uploaded_is_not_processed(
    p: RunningPlatform, eve: Account
) -> None:
    file = await upload(eve.client, "a.jpg", picture())
    [stored] = await p.kernel.storage.objects("file_management")
    await p.kernel.storage.delete([stored.key])
    async with p.kernel.storage.draft() as draft:
        await draft.write(picture()[:-1])
        await draft.finish()
        await draft.keep(stored.key)
    await p.deliver()
    [attempt] = await p.deliveries("file_management.process_file")
    assert attempt.status == "pending"
    assert "is not what was uploaded" in (attempt.last_error or "")
    assert (await eve.client.get(f"{API}/{file['id']}")).json()["has_thumbnail"] is False


async def test_b17_what_a_step_left_behind_that_died_is_swept_within_the_hour(
    p: RunningPlatform, eve: Account
) -> None:
    kept = await upload(eve.client, "a.jpg", picture())
    await p.deliver()
    other = await upload(eve.client, "b.jpg", picture())  # its worker dies
    day = f"{p.clock.now():%Y%m%d}"
    for kind in ("objects", "derived", "parts"):
        async with p.kernel.storage.draft() as draft:
            await draft.finish()
            await draft.keep(f"file_management/{kind}/{day}/{UUID(kept['id']).hex}_{'0' * 32}")
    await p.sql("DELETE FROM platform.deliveries WHERE status = 'pending'")
    await p.execute(SweepStorage())
    assert len(await p.kernel.storage.objects("file_management")) == 6, (
        "they may belong to what runs just now"
    )
    p.clock.advance(minutes=61)
    await p.execute(SweepStorage())
    assert len(await p.kernel.storage.objects("file_management")) == 3
    assert (await eve.client.get(f"{API}/{kept['id']}/content")).status_code == 200
    assert (await eve.client.get(f"{API}/{kept['id']}/thumbnail")).status_code == 200
    stuck = (await eve.client.get(f"{API}/{other['id']}")).json()
    assert (stuck["status"], stuck["processing"]) == ("failed", False)
