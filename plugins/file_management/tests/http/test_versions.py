"""Every content of a file stays a version of it."""

from __future__ import annotations

import asyncio

from file_management import FileUploaded
from file_management.testing import picture, upload
from platform_core.testing import RunningPlatform
from user_management.testing import Account

API = "/api/v1/files"


async def test_new_content_is_a_version_and_the_old_one_stays_readable(
    p: RunningPlatform, eve: Account
) -> None:
    file = await upload(eve.client, "a.txt", b"one")
    path = f"{API}/{file['id']}"
    answer = await eve.client.post(f"{path}/versions", files={"file": ("whatever.txt", b"second")})
    assert (answer.status_code, answer.json()["version"], answer.json()["size"]) == (201, 2, 6)
    assert answer.json()["name"] == "a.txt", "a version has the file's name"
    assert (await eve.client.get(f"{path}/content")).content == b"second"
    assert (await eve.client.get(f"{path}/versions/1/content")).content == b"one"
    listed = (await eve.client.get(f"{path}/versions")).json()["items"]
    assert [(one["version"], one["size"]) for one in listed] == [(2, 6), (1, 3)]
    assert {one["uploaded_by"] for one in listed} == {str(eve.id)}
    assert [event.file_version for event in await p.events(FileUploaded)] == [1, 2]


async def test_a_restored_version_is_a_new_one_that_takes_no_room(p: RunningPlatform, eve: Account) -> None:
    file = await upload(eve.client, "a.txt", b"one")
    path = f"{API}/{file['id']}"
    await eve.client.post(f"{path}/versions", files={"file": ("a", b"second")})
    used = (await eve.client.get(f"{API}/quota")).json()["used"]
    restored = await eve.client.post(f"{path}/versions/1/restore")
    assert (restored.status_code, restored.json()["version"]) == (200, 3)
    assert restored.json()["checksum_sha256"] == file["checksum_sha256"]
    assert (await eve.client.get(f"{path}/content")).content == b"one"
    assert (await eve.client.get(f"{API}/quota")).json()["used"] == used == 9
    assert len(await p.kernel.storage.objects("file_management/objects")) == 2


async def test_versions_that_are_not_there_are_404_and_numbers_that_are_none_422(eve: Account) -> None:
    path = f"{API}/{(await upload(eve.client))['id']}/versions"
    assert (await eve.client.get(f"{path}/2/content")).status_code == 404
    assert (await eve.client.post(f"{path}/2/restore")).status_code == 404
    for number in ("0", "-1", "x", str(2**31), "1e3"):
        assert (await eve.client.get(f"{path}/{number}/content")).status_code == 422, number


async def test_of_versions_that_come_at_once_each_has_its_number(eve: Account) -> None:
    path = f"{API}/{(await upload(eve.client))['id']}/versions"
    answers = await asyncio.gather(
        *(eve.client.post(path, files={"file": ("a", str(n).encode())}) for n in range(3))
    )
    good = sorted(answer.json()["version"] for answer in answers if answer.status_code == 201)
    assert good == list(range(2, 2 + len(good)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len((await eve.client.get(path)).json()["items"]) == len(good) + 1


async def test_the_thumbnail_follows_the_content(p: RunningPlatform, eve: Account) -> None:
    file = await upload(eve.client, "a.jpg", picture(color="red"))
    path = f"{API}/{file['id']}"
    await p.deliver()
    first = (await eve.client.get(f"{path}/thumbnail")).content
    again = await eve.client.post(f"{path}/versions", files={"file": ("a", picture(color="blue"))})
    assert (again.json()["status"], again.json()["has_thumbnail"]) == ("processing", False)
    assert (await eve.client.get(f"{path}/thumbnail")).status_code == 404
    await p.deliver()
    assert (await eve.client.get(f"{path}/thumbnail")).content != first
    assert len(await p.kernel.storage.objects("file_management/derived")) == 1, "the old one is discarded"
