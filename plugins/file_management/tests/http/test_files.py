"""Uploading, reading, changing, deleting and restoring files."""

from __future__ import annotations

import hashlib
import io
import os
from uuid import uuid4

import pytest
from PIL import Image

from file_management import FileProcessed, FileUploaded
from file_management.testing import picture, upload
from platform_core.testing import RunningPlatform
from user_management.testing import Account

API = "/api/v1"


async def test_a_file_is_uploaded_and_read_back_whole(p: RunningPlatform, eve: Account) -> None:
    content = os.urandom(200_000)
    file = await upload(eve.client, "report.bin", content)
    assert {
        key: file[key] for key in ("name", "size", "version", "status", "processing", "has_thumbnail")
    } == {
        "name": "report.bin",
        "size": 200_000,
        "version": 1,
        "status": "completed",
        "processing": False,
        "has_thumbnail": False,
    }
    assert file["checksum_sha256"] == hashlib.sha256(content).hexdigest()
    assert (file["uploaded_by"], file["folder_id"]) == (str(eve.id), None)
    answer = await eve.client.get(f"{API}/files/{file['id']}/content")
    assert answer.content == content
    assert answer.headers["etag"] == f'"{file["checksum_sha256"]}"'
    assert answer.headers["content-disposition"].startswith('attachment; filename="report.bin"')
    part = await eve.client.get(f"{API}/files/{file['id']}/content", headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, content[5:10])
    [event] = await p.events(FileUploaded)
    assert (str(event.file_id), event.name, event.owner_id) == (file["id"], "report.bin", eve.id)


async def test_a_photo_gets_a_thumbnail_from_a_worker(p: RunningPlatform, eve: Account) -> None:
    photo = await upload(eve.client, "photo.jpg", picture(1600, 1200))
    assert (photo["status"], photo["processing"], photo["content_type"]) == ("processing", True, "image/jpeg")
    assert (await eve.client.get(f"{API}/files/{photo['id']}/thumbnail")).status_code == 404
    content = await eve.client.get(f"{API}/files/{photo['id']}/content")
    assert content.status_code == 200, "it can be read from the beginning"
    await p.deliver()
    photo = (await eve.client.get(f"{API}/files/{photo['id']}")).json()
    assert (photo["status"], photo["processing"], photo["has_thumbnail"]) == ("completed", False, True)
    for size, expected in ((None, (256, 192)), (64, (64, 48)), (512, (512, 384)), (100, (100, 75))):
        params = {} if size is None else {"size": str(size)}
        answer = await eve.client.get(f"{API}/files/{photo['id']}/thumbnail", params=params)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
        with Image.open(io.BytesIO(answer.content)) as image:
            assert (image.format, image.size) == ("WEBP", expected)
    for size in ("63", "513", "x"):
        answer = await eve.client.get(f"{API}/files/{photo['id']}/thumbnail", params={"size": size})
        assert answer.status_code == 422
    [processed] = await p.events(FileProcessed)
    assert (processed.status, processed.has_thumbnail, processed.error) == ("completed", True, None)


async def test_files_are_listed_and_searched(eve: Account, ben: Account) -> None:
    for name in ("a.txt", "b.txt", "c.md"):
        await upload(eve.client, name)
    await upload(ben.client, "other.txt")
    page = (await eve.client.get(f"{API}/files", params={"limit": "2"})).json()
    assert [file["name"] for file in page["items"]] == ["c.md", "b.txt"]
    rest = (await eve.client.get(f"{API}/files", params={"cursor": page["next_cursor"]})).json()
    assert [file["name"] for file in rest["items"]] == ["a.txt"]
    found = (await eve.client.get(f"{API}/files", params={"q": "B.T"})).json()
    assert [file["name"] for file in found["items"]] == ["b.txt"]


async def test_a_name_is_there_once_in_a_folder_and_the_bytes_of_the_second_are_gone(
    p: RunningPlatform, eve: Account, ben: Account
) -> None:
    await upload(eve.client, "notes.txt")
    answer = await eve.client.post(f"{API}/files/upload", files={"file": ("notes.txt", b"other")})
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/file-name-taken")
    assert len(await p.kernel.storage.objects("file_management/objects")) == 1
    await upload(ben.client, "notes.txt")
    folder = (await eve.client.post(f"{API}/folders", json={"name": "a"})).json()
    await upload(eve.client, "notes.txt", folder_id=folder["id"])


async def test_a_file_is_renamed_and_moved(eve: Account) -> None:
    file = await upload(eve.client, "draft.txt")
    folder = (await eve.client.post(f"{API}/folders", json={"name": "papers"})).json()
    path = f"{API}/files/{file['id']}"
    changed = await eve.client.patch(path, json={"name": "final.txt", "folder_id": folder["id"]})
    assert (changed.json()["name"], changed.json()["folder_id"]) == ("final.txt", folder["id"])
    back = await eve.client.patch(path, json={"folder_id": None})
    assert (back.json()["name"], back.json()["folder_id"]) == ("final.txt", None)
    for body in ({"name": "a\u202egpj.exe"}, {"name": ".."}, {"name": "a\nb"}, {"status": "completed"}):
        assert (await eve.client.patch(path, json=body)).status_code == 422, body
    assert (await eve.client.patch(path, json={"folder_id": str(uuid4())})).status_code == 404


async def test_a_deleted_file_is_nowhere_until_it_is_restored(eve: Account) -> None:
    file = await upload(eve.client)
    path = f"{API}/files/{file['id']}"
    assert (await eve.client.delete(path)).status_code == 204
    for gone in (path, f"{path}/content", f"{path}/versions"):
        assert (await eve.client.get(gone)).status_code == 404
    assert (await eve.client.get(f"{API}/files")).json()["items"] == []
    restored = await eve.client.post(f"{path}/restore")
    assert (restored.status_code, restored.json()["id"]) == (200, file["id"])
    assert (await eve.client.get(f"{path}/content")).content == b"hello"
    assert (await eve.client.post(f"{path}/restore")).status_code == 200, "again is no error"


async def test_a_name_that_was_taken_meanwhile_cannot_be_restored(eve: Account) -> None:
    file = await upload(eve.client)
    await eve.client.delete(f"{API}/files/{file['id']}")
    await upload(eve.client)
    answer = await eve.client.post(f"{API}/files/{file['id']}/restore")
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/file-name-taken")


async def test_a_file_whose_folder_is_gone_is_restored_to_the_root(eve: Account) -> None:
    folder = (await eve.client.post(f"{API}/folders", json={"name": "a"})).json()
    file = await upload(eve.client, folder_id=folder["id"])
    await eve.client.delete(f"{API}/folders/{folder['id']}")
    restored = await eve.client.post(f"{API}/files/{file['id']}/restore")
    assert (restored.status_code, restored.json()["folder_id"]) == (200, None)


async def test_what_is_not_there_and_what_is_no_form_is_told(eve: Account) -> None:
    missing = await eve.client.post(f"{API}/files/upload")
    assert (missing.status_code, missing.json()["errors"][0]["pointer"]) == (422, "/body/file")
    unknown = {"folder_id": str(uuid4())}
    answer = await eve.client.post(f"{API}/files/upload", files={"file": ("a", b"")}, data=unknown)
    assert answer.status_code == 404
    broken = await eve.client.post(f"{API}/files/upload", files={"file": ("a", b"")}, data={"folder_id": "x"})
    assert (broken.status_code, broken.json()["errors"][0]["pointer"]) == (422, "/body/folder_id")
    for path in ("", "/content", "/thumbnail", "/versions", "/permissions", "/versions/1/content"):
        assert (await eve.client.get(f"{API}/files/{uuid4()}{path}")).status_code == 404, path


@pytest.mark.parametrize("content", [b"", b"x"])
async def test_a_repeated_upload_with_the_same_key_is_one_file(eve: Account, content: bytes) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    first = await eve.client.post(f"{API}/files/upload", files={"file": ("a", content)}, headers=key)
    again = await eve.client.post(f"{API}/files/upload", files={"file": ("a", content)}, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert len((await eve.client.get(f"{API}/files")).json()["items"]) == 1


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\x.txt", "x.txt"),
        ("/etc/shadow", "shadow"),
        ("C:\\x.txt", "x.txt"),
        ("  spaces.txt  ", "spaces.txt"),
        ("e\u0301.txt", "\u00e9.txt"),
        ("CON", "CON"),
        ("a;b'c.txt", "a;b'c.txt"),
        ("x" * 255, "x" * 255),
    ],
)
async def test_row_59_a_name_is_the_last_part_of_whatever_path_was_sent(
    p: RunningPlatform, eve: Account, sent: str, kept: str
) -> None:
    file = await upload(eve.client, sent)
    assert file["name"] == kept
    [stored] = await p.kernel.storage.objects("file_management")
    assert kept not in stored.key
    disposition = (await eve.client.get(f"{API}/files/{file['id']}/content")).headers["content-disposition"]
    assert disposition.startswith("attachment; ")
    assert not {"\r", "\n"} & set(disposition)


@pytest.mark.parametrize("sent", ["a\u202egpj.exe", "x" * 256, "\u00e9" * 128, "..", "a/", "\x7f"])
async def test_row_59_a_name_that_deceives_or_is_none_is_422(eve: Account, sent: str) -> None:
    answer = await eve.client.post(f"{API}/files/upload", files={"file": (sent, b"x")})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/body/file")


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "image/svg+xml"),
        ("a.html", b"<!doctype html><script>alert(1)</script>", "text/html"),
        ("a.txt", b"<html><script>alert(1)</script>", "text/html"),
        ("a.xml", b"<?xml version='1.0'?><x/>", "application/xml"),
        ("a.pdf", b"%PDF-1.7\n", "application/pdf"),
        ("a.csv", b"a,b\n1,2\n", "text/csv"),
        ("a.html", b"plain words", "text/plain"),
        ("a", "Grüße".encode() * 2000, "text/plain"),
        ("a.bin", bytes(100), "application/octet-stream"),
    ],
)
async def test_row_61_the_type_is_told_by_the_bytes_and_no_browser_runs_it(
    eve: Account, name: str, content: bytes, kind: str
) -> None:
    file = await upload(eve.client, name, content)
    assert file["content_type"] == kind
    answer = await eve.client.get(f"{API}/files/{file['id']}/content")
    assert answer.headers["content-type"] == kind
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
