"""Resumable uploads: tus 1.0 step by step, and row 68."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import uuid4

import pytest

from file_management.application.tasks import SweepStorage
from file_management.testing import picture
from platform_core.testing import RunningPlatform
from user_management.testing import Account

API = "/api/v1/files"
UPLOADS = f"{API}/uploads"
TUS = {"Tus-Resumable": "1.0.0"}
PART = {**TUS, "Content-Type": "application/offset+octet-stream"}
DATA = os.urandom(300_000)
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


def encoded(text: str | bytes) -> str:
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


async def begin(person: Account, length: int, name: str = "film.bin", **more: str) -> str:
    told = {"filename": name, "filetype": "image/png"} | more
    metadata = ",".join(f"{key} {encoded(value)}" for key, value in told.items())
    headers = {**TUS, "Upload-Length": str(length), "Upload-Metadata": metadata}
    answer = await person.client.post(UPLOADS, headers=headers)
    assert (answer.status_code, answer.content) == (201, b""), answer.text
    assert answer.headers["tus-resumable"] == "1.0.0"
    return answer.headers["location"]


async def send(person: Account, url: str, offset: int, content: bytes, **headers: str) -> Any:
    return await person.client.patch(
        url, content=content, headers={**PART, "Upload-Offset": str(offset), **headers}
    )


async def offset_of(person: Account, url: str) -> int:
    answer = await person.client.head(url, headers=TUS)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["tus-resumable"] == "1.0.0"
    return int(answer.headers["upload-offset"])


async def test_what_the_server_can_do_is_told_to_everybody(p: RunningPlatform) -> None:
    answer = await p.client.options(UPLOADS)
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert answer.headers["tus-extension"] == "creation,expiration,checksum,termination"
    assert answer.headers["tus-checksum-algorithm"] == "sha1,sha256,md5"


async def test_a_file_in_parts_is_the_same_file(p: RunningPlatform, eve: Account) -> None:
    folder = (await eve.client.post("/api/v1/folders", json={"name": "films"})).json()
    url = await begin(eve, len(DATA), folder_id=folder["id"])
    for start in range(0, len(DATA), 100_000):
        assert await offset_of(eve, url) == start
        answer = await send(eve, url, start, DATA[start : start + 100_000])
        assert (answer.status_code, answer.content) == (204, b""), answer.text
        assert answer.headers["upload-offset"] == str(start + 100_000)
        assert parsedate_to_datetime(answer.headers["upload-expires"]) > p.clock.now()
    file = (await eve.client.get(answer.headers["content-location"])).json()
    assert (file["name"], file["folder_id"], file["size"]) == ("film.bin", folder["id"], len(DATA))
    assert file["checksum_sha256"] == hashlib.sha256(DATA).hexdigest()
    assert file["content_type"] == "application/octet-stream", "what the client says of it is not believed"
    assert (await eve.client.get(f"{API}/{file['id']}/content")).content == DATA
    await p.deliver()
    assert len(await p.kernel.storage.objects("file_management")) == 1, "the parts are gone"
    known = (await eve.client.get(url)).json()
    assert (known["offset"], known["file_id"]) == (len(DATA), file["id"])


async def test_an_upload_whose_folder_is_gone_by_its_end_lies_in_the_root(eve: Account) -> None:
    """Nobody could find it in a folder that nobody can open."""
    folder = (await eve.client.post("/api/v1/folders", json={"name": "films"})).json()
    url = await begin(eve, len(DATA), folder_id=folder["id"])
    await send(eve, url, 0, DATA[:1000])
    assert (await eve.client.delete(f"/api/v1/folders/{folder['id']}")).status_code == 204
    answer = await send(eve, url, 1000, DATA[1000:])
    assert answer.status_code == 204, answer.text
    assert (await eve.client.get(answer.headers["content-location"])).json()["folder_id"] is None


async def test_a_photo_in_one_part_gets_its_thumbnail(p: RunningPlatform, eve: Account) -> None:
    photo = picture()
    url = await begin(eve, len(photo), "photo.jpg")
    answer = await send(eve, url, 0, photo)
    await p.deliver()
    file = (await eve.client.get(answer.headers["content-location"])).json()
    assert (file["status"], file["has_thumbnail"]) == ("completed", True)


async def test_nothing_to_send_is_a_file_at_once(eve: Account) -> None:
    url = await begin(eve, 0, "empty.txt")
    file_id = (await eve.client.get(url)).json()["file_id"]
    assert (await eve.client.get(f"{API}/{file_id}/content")).content == b""


async def test_row_68_parts_that_do_not_continue_are_told_where_to(eve: Account) -> None:
    url = await begin(eve, len(DATA))
    early = await send(eve, url, 100, DATA[100:200])
    assert (early.status_code, early.json()["offset"]) == (409, 0)
    assert early.headers["tus-resumable"] == "1.0.0"
    await send(eve, url, 0, DATA[:1000])
    repeated = await send(eve, url, 0, DATA[:1000])
    assert (repeated.status_code, repeated.json()["offset"]) == (409, 1000)
    beyond = await send(eve, url, 1000, DATA)
    assert beyond.status_code == 413
    assert await offset_of(eve, url) == 1000
    last = await send(eve, url, 1000, DATA[1000:])
    assert last.status_code == 204
    again = await send(eve, url, 1000, DATA[1000:])
    assert again.status_code in (409, 413)
    assert len((await eve.client.get(API)).json()["items"]) == 1


async def test_row_68_of_two_parts_for_one_place_one_is_taken(eve: Account) -> None:
    url = await begin(eve, 2000)
    answers = await asyncio.gather(*(send(eve, url, 0, bytes([n]) * 1000) for n in range(4)))
    assert sorted(answer.status_code for answer in answers) == [204, 409, 409, 409]
    assert await offset_of(eve, url) == 1000


async def test_row_68_uploads_of_others_are_404(eve: Account, ben: Account) -> None:
    url = await begin(eve, len(DATA))
    assert (await send(ben, url, 0, DATA)).status_code == 404
    for method in ("GET", "HEAD", "DELETE"):
        assert (await ben.client.request(method, url, headers=TUS)).status_code == 404
    assert await offset_of(eve, url) == 0
    nothing = f"{UPLOADS}/{uuid4()}"
    assert (await send(eve, nothing, 0, DATA)).status_code == 404


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
async def test_row_68_a_part_with_another_checksum_counts_for_nothing(eve: Account, algorithm: str) -> None:
    url = await begin(eve, len(DATA))
    digest = encoded(hashlib.new(algorithm, DATA[:1000]).digest())
    bad = await send(eve, url, 0, DATA[1:1001], **{"Upload-Checksum": f"{algorithm} {digest}"})
    assert (bad.status_code, bad.json()["type"]) == (460, "/problems/checksum-mismatch")
    assert await offset_of(eve, url) == 0
    good = await send(eve, url, 0, DATA[:1000], **{"Upload-Checksum": f"{algorithm} {digest}"})
    assert good.status_code == 204
    for header in ("crc32 AAAA", "sha1 %", "sha1"):
        answer = await send(eve, url, 1000, DATA[1000:2000], **{"Upload-Checksum": header})
        assert answer.status_code in (422, 460), header
    assert await offset_of(eve, url) == 1000


async def test_an_infected_upload_ends_with_its_last_part(p: RunningPlatform, eve: Account) -> None:
    url = await begin(eve, len(EICAR), "a.txt")
    await send(eve, url, 0, EICAR[:30])
    answer = await send(eve, url, 30, EICAR[30:])
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/infected-file")
    assert (await eve.client.head(url, headers=TUS)).status_code == 404
    await p.deliver()
    assert await p.kernel.storage.objects("file_management") == []


async def test_an_upload_is_given_up(p: RunningPlatform, eve: Account) -> None:
    url = await begin(eve, len(DATA))
    await send(eve, url, 0, DATA[:1000])
    assert (await eve.client.delete(url, headers=TUS)).status_code == 204
    assert (await eve.client.head(url, headers=TUS)).status_code == 404
    assert (await eve.client.delete(url, headers=TUS)).status_code == 404
    await p.deliver()
    assert await p.kernel.storage.objects("file_management") == []


async def test_an_upload_that_nobody_continues_expires_and_is_swept(p: RunningPlatform, eve: Account) -> None:
    url = await begin(eve, len(DATA))
    await send(eve, url, 0, DATA[:1000])
    p.clock.advance(hours=23)
    await send(eve, url, 1000, DATA[1000:2000])
    p.clock.advance(hours=23)
    assert (await p.sql("SELECT received FROM file_management.file_uploads")) == [{"received": 2000}]
    p.clock.advance(hours=2)
    assert await p.sql("SELECT 1 FROM file_management.file_uploads") != []
    await p.execute(SweepStorage())
    await p.deliver()
    assert await p.sql("SELECT 1 FROM file_management.file_uploads") == []
    assert await p.kernel.storage.objects("file_management") == []


async def test_headers_that_the_protocol_wants_are_insisted_on(eve: Account) -> None:
    for headers, status in (
        ({}, 412),
        ({"Tus-Resumable": "0.2.2", "Upload-Length": "1"}, 412),
        (TUS, 422),
        ({**TUS, "Upload-Length": "-1"}, 422),
        ({**TUS, "Upload-Length": "x"}, 422),
        ({**TUS, "Upload-Length": str(2**61)}, 413),
        ({**TUS, "Upload-Length": "1", "Upload-Metadata": "filename %%%"}, 422),
        ({**TUS, "Upload-Length": "1", "Upload-Metadata": f"folder_id {encoded('x')}"}, 422),
        ({**TUS, "Upload-Length": "1", "Upload-Metadata": f"folder_id {encoded(str(uuid4()))}"}, 404),
        ({**TUS, "Upload-Length": "1", "Upload-Metadata": f"filename {encoded('a' + chr(0))}"}, 422),
    ):
        answer = await eve.client.post(UPLOADS, headers=headers)
        assert answer.status_code == status, (headers, answer.text)
        assert answer.headers["tus-resumable"] == "1.0.0"
    url = await begin(eve, 10)
    for headers, status in (
        ({"Content-Type": PART["Content-Type"], "Upload-Offset": "0"}, 412),
        ({**TUS, "Upload-Offset": "0"}, 415),
        ({**TUS, "Content-Type": "text/plain", "Upload-Offset": "0"}, 415),
        (PART, 422),
        ({**PART, "Upload-Offset": "x"}, 422),
    ):
        answer = await eve.client.patch(url, content=b"x", headers=headers)
        assert answer.status_code == status, (headers, answer.text)
    assert await offset_of(eve, url) == 0
