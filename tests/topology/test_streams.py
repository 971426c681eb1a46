"""What takes long through nginx: event streams that go on elsewhere, large files, uploads that are resumed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import httpx2
import pytest
from topology_rig.people import People, Person

from platform_core.testing import eventually

if TYPE_CHECKING:
    from topology_rig.site import Process, Site

WITHIN = 180.0
MEBIBYTE = 1024 * 1024
TUS = {"Tus-Resumable": "1.0.0"}


class Listener:
    """
    A client of the stream of notifications as browsers have them: it comes back with `Last-Event-ID`, and forgets
    nothing that it heard.

    Attributes:
        heard: identifiers and titles, in the order in which they came.
        endings: how each connection ended.
    """

    def __init__(self, person: Person) -> None:
        self._person = person
        self.heard: list[tuple[str, str]] = []
        self.endings: list[str] = []
        self.headers: httpx2.Headers | None = None

    async def listen(self) -> None:
        """Go on until cancelled."""
        while True:
            with contextlib.suppress(httpx2.ConnectError):
                try:
                    await self._once()
                    self.endings.append("in order")
                except (httpx2.ReadError, httpx2.RemoteProtocolError):
                    self.endings.append("broken")
            await asyncio.sleep(0.2)

    async def _once(self) -> None:
        last = {"Last-Event-ID": self.heard[-1][0]} if self.heard else {}
        stream = self._person.client.stream("GET", "/notifications/stream", headers=last, timeout=60)
        async with stream as answer:
            if answer.status_code != 200:  # none of them is there just now, or nginx counts
                await asyncio.sleep(0.5)
                return
            self.headers = answer.headers
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    told = json.loads(line.removeprefix("data: "))
                    self.heard.append((told["id"], f"{told['title']} {told['body']}"))


@contextlib.asynccontextmanager
async def listening(person: Person) -> AsyncIterator[Listener]:
    listener = Listener(person)
    task = asyncio.create_task(listener.listen())
    try:
        yield listener
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_stream_goes_on_at_the_other_process_and_misses_nothing(site: Site, people: People) -> None:
    """One process ends in order, the other by `kill -9`; whichever carried the stream, it comes back."""
    ann, ben = await people.register("ann"), await people.register("ben")
    project = await ann.post("/projects", json={"name": "A bridge"})
    await ann.post(f"/projects/{project['id']}/members", json={"user_id": ben.id, "role": "member"})
    titles: list[str] = []

    async def give_work() -> None:
        titles.extend(f"Bolt {secrets.token_hex(4)}" for _ in range(3))
        for title in titles[-3:]:
            body = {"title": title, "assignee_id": ben.id}

            async def given(body: dict[str, str] = body) -> bool:
                answer = await ann.client.post(f"/projects/{project['id']}/tasks", json=body)
                return answer.status_code == 201

            await eventually(given, within_seconds=WITHIN)

    async with listening(ben) as listener:

        async def heard_all() -> bool:
            return all(any(title in text for _, text in listener.heard) for title in titles)

        async def is_connected() -> bool:
            return listener.headers is not None

        await eventually(is_connected, within_seconds=WITHIN)
        await give_work()
        await eventually(heard_all, within_seconds=WITHIN)
        assert listener.endings == [], "what came, came while the answer was going on: nobody holds it back"
        assert listener.headers is not None
        assert listener.headers["content-type"].startswith("text/event-stream")
        for process in site.of("api"):
            if process is site.of("api")[0]:
                await asyncio.to_thread(site.front.out, process.address)
                assert await asyncio.to_thread(process.part.end) == 0
            else:
                process.part.kill()
            await give_work()
            await eventually(heard_all, within_seconds=WITHIN)
            await asyncio.to_thread(site.start, process.name)
            await asyncio.to_thread(site.front.back_in, process.address)
        await give_work()
        await eventually(heard_all, within_seconds=WITHIN)
    assert listener.endings, "it was carried by one of them"
    identifiers = [identifier for identifier, _ in listener.heard]
    assert len(identifiers) == len(set(identifiers)), "nothing twice"


async def test_a_large_file_streams_through_both_ways_and_nginx_keeps_none_of_it(
    site: Site, people: People
) -> None:
    ann = await people.register("ann")
    size, sent, kept_by_nginx = 60 * MEBIBYTE, hashlib.sha256(), 0  # less than the scanner takes
    boundary = secrets.token_hex(16)

    async def form() -> AsyncIterator[bytes]:
        nonlocal kept_by_nginx
        yield (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        for _ in range(size // MEBIBYTE):
            piece = secrets.token_bytes(MEBIBYTE)
            sent.update(piece)
            yield piece
            kept_by_nginx = max(kept_by_nginx, site.front.bytes_kept())
        yield f"\r\n--{boundary}--\r\n".encode()

    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    answer = await ann.client.post("/files/upload", content=form(), headers=headers, timeout=300)
    assert answer.status_code == 201, answer.text
    file = answer.json()
    assert file["size"] == size
    received = hashlib.sha256()
    async with ann.client.stream("GET", f"/files/{file['id']}/content", timeout=300) as content:
        async for piece in content.aiter_bytes(MEBIBYTE):
            received.update(piece)
            kept_by_nginx = max(kept_by_nginx, site.front.bytes_kept())
    assert received.digest() == sent.digest()
    assert kept_by_nginx == 0


@pytest.fixture
async def rotation(site: Site) -> AsyncIterator[tuple[Process, Process]]:
    """The two processes of the API, of which the first is alone in the rotation; afterwards both are back."""
    first, second = site.of("api")
    await asyncio.to_thread(site.front.out, second.address)
    yield first, second
    if not first.part.is_up:
        await asyncio.to_thread(site.start, first.name)
    for process in (first, second):
        await asyncio.to_thread(site.front.back_in, process.address)


@pytest.mark.parametrize("broken", [False, True], ids=["in-order", "killed"])
async def test_an_upload_is_resumed_at_the_other_process(
    site: Site, people: People, rotation: tuple[Process, Process], broken: bool
) -> None:
    ann, content = await people.register("ann"), secrets.token_bytes(30 * MEBIBYTE)
    first, second = rotation
    name = base64.b64encode(b"resumed.bin").decode()
    length = {"Upload-Length": str(len(content)), "Upload-Metadata": f"filename {name}"}
    begun = await ann.client.post("/files/uploads", headers={**TUS, **length})
    assert begun.status_code == 201, begun.text
    place = f"{site.front.url}{begun.headers['location']}"

    async def half() -> AsyncIterator[bytes]:
        for start in range(0, len(content) // 2, MEBIBYTE):
            yield content[start : start + MEBIBYTE]
        if broken:
            await asyncio.sleep(1)  # what came so far is on its way to the process
            first.part.kill()

    patch = {**TUS, "Content-Type": "application/offset+octet-stream"}
    with contextlib.suppress(httpx2.HTTPError):
        await ann.client.patch(place, content=half(), headers={**patch, "Upload-Offset": "0"})
    await asyncio.to_thread(site.front.back_in, second.address)
    await asyncio.to_thread(site.front.out, first.address)
    known = await ann.client.head(place, headers=TUS)
    offset = int(known.headers["upload-offset"])
    assert offset == (0 if broken else 15 * MEBIBYTE), "a part is there whole or not at all"
    rest = {**patch, "Upload-Offset": str(offset)}
    last = await ann.client.patch(place, content=content[offset:], headers=rest, timeout=120)
    assert last.status_code == 204, last.text
    stored = await ann.client.get(f"{site.front.url}{last.headers['content-location']}/content", timeout=120)
    assert hashlib.sha256(stored.content).digest() == hashlib.sha256(content).digest()
