"""Rows 60, 62 and 63, fault B19: nothing can be read before every scanner called it clean."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import pytest

from file_management import FileRejected
from file_management.infrastructure.signatures import SignatureScanner
from file_management.testing import picture, upload
from platform_core.testing import PlatformFactory, RunningPlatform
from user_management.testing import Account, essentials, log_in, sign_up

API = "/api/v1/files"
MODULES = ["user_management", "file_management"]
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


def zipped(content: bytes, name: str = "inside.txt", *, levels: int = 1) -> bytes:
    for _ in range(levels):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)
        content, name = out.getvalue(), "inner.zip"
    return content


async def refused(person: Account, name: str, content: bytes, path: str = "/upload") -> dict[str, Any]:
    answer = await person.client.post(f"{API}{path}", files={"file": (name, content)})
    assert answer.status_code >= 400, answer.text
    problem: dict[str, Any] = answer.json()
    return problem


async def nothing_is_kept(p: RunningPlatform) -> bool:
    return not await p.kernel.storage.objects("file_management")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(EICAR, id="plain"),
        pytest.param(b"\xef\xbb\xbf  \r\n" + EICAR + b"\n", id="after blanks"),
        pytest.param(zipped(EICAR), id="zipped"),
        pytest.param(zipped(EICAR, levels=3), id="nested"),
    ],
)
async def test_row_62_the_test_virus_is_refused_and_nothing_of_it_kept(
    p: RunningPlatform, eve: Account, content: bytes
) -> None:
    problem = await refused(eve, "invoice.pdf", content)
    assert (problem["status"], problem["type"]) == (422, "/problems/infected-file")
    assert await nothing_is_kept(p)
    assert (await eve.client.get(API)).json()["items"] == []
    [event] = await p.events(FileRejected)
    assert (event.name, event.reason, event.uploaded_by) == ("invoice.pdf", "infected", eve.id)
    assert (await eve.client.get(f"{API}/quota")).json()["used"] == 0


async def test_row_62_a_virus_in_a_new_version_leaves_the_file_as_it_was(
    p: RunningPlatform, eve: Account
) -> None:
    file = await upload(eve.client, "a.txt", b"clean")
    problem = await refused(eve, "a.txt", EICAR, f"/{file['id']}/versions")
    assert problem["type"] == "/problems/infected-file"
    assert (await eve.client.get(f"{API}/{file['id']}")).json()["version"] == 1
    assert (await eve.client.get(f"{API}/{file['id']}/content")).content == b"clean"
    assert len(await p.kernel.storage.objects("file_management")) == 1
    [event] = await p.events(FileRejected)
    assert str(event.file_id) == file["id"]


async def test_row_63_archives_made_to_do_harm_are_refused(p: RunningPlatform, eve: Account) -> None:
    """Row 63, fault B43: bombs, nests and crowds are refused by our own limits, whatever a scanner thinks of them."""
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w") as archive:
        for number in range(10_001):
            archive.writestr(str(number), b"")
    for content in (
        zipped(bytes(300 * 1024 * 1024)),
        zipped(b"x", levels=8),
        zipped(zipped(bytes(40 * 1024 * 1024))),
        many.getvalue(),
    ):
        problem = await refused(eve, "a.zip", content)
        assert (problem["status"], problem["type"]) == (422, "/problems/unsafe-archive")
    assert await nothing_is_kept(p)


async def test_row_63_archives_that_people_make_are_taken(eve: Account) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(300):
            archive.writestr(f"{number}.csv", b"a,b,c\n" * 1000)
    await upload(eve.client, "tables.zip", out.getvalue())
    await upload(eve.client, "deep.zip", zipped(b"x" * 1000, levels=3))
    await upload(eve.client, "broken.zip", zipped(b"x" * 1000)[:-9])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("photo.png", b"MZ" + bytes(2000)),
        ("photo.png", b"<?php system($_GET['c']); ?>"),
        ("photo.png", b"<!DOCTYPE html><script>alert(1)</script>"),
        ("photo.png", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
        ("photo.png", b""),
        ("photo.jpg", b"just text"),
        ("tool", b"\x7fELF" + bytes(100)),
        ("tool.txt", b"#!/bin/sh\nrm -rf /\n"),
        ("run.bat", b"@echo off\r\n"),
        ("run.txt.ps1", b"Get-Process"),
        ("a.lnk", b"anything"),
        ("run.bat.", b"@echo off\r\n"),
        ("run.bat. .", b"@echo off\r\n"),
        ("run.bat::$DATA", b"@echo off\r\n"),
        ("notes:run.bat", b"@echo off\r\n"),
        ("photo.png.", b"just text"),
    ],
)
async def test_row_60_programs_and_what_pretends_to_be_a_picture_are_415(
    p: RunningPlatform, eve: Account, name: str, content: bytes
) -> None:
    problem = await refused(eve, name, content)
    assert (problem["status"], problem["type"]) == (415, "/problems/type-not-allowed")
    assert await nothing_is_kept(p)


async def test_row_62_what_was_taken_gets_no_name_under_which_it_would_not_have_been(eve: Account) -> None:
    file = await upload(eve.client, "notes.txt", b"@echo off\r\n")
    path = f"{API}/{file['id']}"
    for name in ("notes.bat", "notes.EXE", "notes.png", "notes.bat. .", "notes.bat::$DATA", "notes.png."):
        answer = await eve.client.patch(path, json={"name": name})
        assert (answer.status_code, answer.json()["type"]) == (415, "/problems/type-not-allowed"), name
    assert (await eve.client.patch(path, json={"name": "notes.md"})).status_code == 200

    await eve.client.post(f"{path}/versions", files={"file": ("a", picture())})
    assert (await eve.client.patch(path, json={"name": "photo.jpg"})).status_code == 200
    restored = await eve.client.post(f"{path}/versions/1/restore")
    assert (restored.status_code, restored.json()["type"]) == (415, "/problems/type-not-allowed")


async def test_a_deployer_says_which_types_are_taken(platform: PlatformFactory) -> None:
    settings = {"PLATFORM_FILE_MANAGEMENT_ALLOWED_TYPES": "image/*,text/plain"}
    async with platform(MODULES, settings=settings, seed=essentials) as p:
        eve = await sign_up(p, "eve")
        await upload(eve.client, "a.txt", b"text")
        assert (await refused(eve, "a.zip", zipped(b"x")))["status"] == 415


async def test_row_62_a_deployers_types_hold_for_new_names_as_for_uploads(platform: PlatformFactory) -> None:
    narrowed = {"PLATFORM_FILE_MANAGEMENT_ALLOWED_TYPES": "image/*,text/plain"}
    async with (
        platform(MODULES, seed=essentials) as before,
        platform(MODULES, settings=narrowed, beside=before) as p,
    ):
        eve = await sign_up(before, "eve")
        old = [await upload(eve.client, *one) for one in (("a.pdf", b"%PDF-1.7\n"), ("old.js", b"text"))]
        eve = await log_in(p, eve.email)

        async def renamed(file: dict[str, Any], name: str) -> int:
            return (await eve.client.patch(f"{API}/{file['id']}", json={"name": name})).status_code

        file = await upload(eve.client, "a.txt", b"text")
        for name in ("a.js", "a.csv", "a.css", "a.js.", "a.js::$DATA"):
            assert (await refused(eve, name, b"text"))["status"] == 415, name
            assert await renamed(file, name) == 415, name
        assert await renamed(file, "b.log") == 200

        # what was taken once may go by any name that makes nothing else of it
        assert [await renamed(old[0], "b.pdf"), await renamed(old[1], "b.js")] == [200, 200]
        assert [await renamed(old[0], "b.png"), await renamed(old[1], "b.css")] == [415, 415]
        assert await renamed(old[1], "b.txt") == 200

        picture_ = await upload(eve.client, "c.txt", b"text")
        await eve.client.post(f"{API}/{picture_['id']}/versions", files={"file": ("c", picture())})
        assert await renamed(picture_, "c.js") == 200
        restored = await eve.client.post(f"{API}/{picture_['id']}/versions/1/restore")
        assert (restored.status_code, restored.json()["type"]) == (415, "/problems/type-not-allowed")


# ── clamd, and what it may answer ────────────────────────────────────────────────────────────────


@pytest.fixture
async def guarded(platform: PlatformFactory, clamd: Any) -> AsyncIterator[RunningPlatform]:
    settings = {
        "PLATFORM_CLAMD_URL": clamd.url,
        "PLATFORM_FILE_MANAGEMENT_SCAN_TIMEOUT_SECONDS": "0.5",
    }
    async with platform(MODULES, settings=settings, seed=essentials) as running:
        yield running


async def test_clamd_sees_every_byte_and_its_word_counts(guarded: RunningPlatform, clamd: Any) -> None:
    eve = await sign_up(guarded, "eve")
    content = bytes(range(256)) * 10_000
    await upload(eve.client, "a.bin", content)
    assert clamd.received == [content]
    clamd.answer = b"stream: Win.Test.Virus FOUND"
    problem = await refused(eve, "b.bin", content)
    assert (problem["type"], problem["signature"]) == ("/problems/infected-file", "Win.Test.Virus")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(None, id="hangs up"),
        pytest.param(b"", id="says nothing"),
        pytest.param(b"stream: OKAY", id="nearly"),
        pytest.param(b"OK", id="of something else"),
        pytest.param(b"stream: OK\nstream: x", id="more"),
        pytest.param(b"INSTREAM size limit exceeded. ERROR", id="error"),
        pytest.param(b"stream:  FOUND", id="nothing found"),
    ],
)
async def test_b19_whatever_is_no_explicit_ok_keeps_the_file_in_quarantine(
    guarded: RunningPlatform, clamd: Any, answer: bytes | None
) -> None:
    eve = await sign_up(guarded, "eve")
    clamd.answer = answer
    file = await upload(eve.client, "a.txt", b"content")
    assert file["status"] == "quarantined"
    content = await eve.client.get(f"{API}/{file['id']}/content")
    assert (content.status_code, content.json()["type"]) == (409, "/problems/file-quarantined")
    assert (await eve.client.get(f"{API}/{file['id']}/versions/1/content")).status_code == 409
    assert (await eve.client.get(f"{API}/{file['id']}/thumbnail")).status_code == 404


async def test_b19_what_waits_is_scanned_when_clamd_is_back(guarded: RunningPlatform, clamd: Any) -> None:
    eve = await sign_up(guarded, "eve")
    await clamd.stop()
    answer = await eve.client.post(f"{API}/upload", files={"file": ("a.txt", b"content")})
    assert (answer.status_code, answer.json()["status"]) == (202, "quarantined")
    ready = (await guarded.client.get("/health/ready")).json()
    assert ready["status"] == "degraded"
    assert ready["checks"]["scanner"].startswith("clamd cannot be reached")
    await guarded.deliver()
    assert (await eve.client.get(f"{API}/{answer.json()['id']}/content")).status_code == 409
    await clamd.start()
    await guarded.deliver(skip_waits=True)
    file = (await eve.client.get(f"{API}/{answer.json()['id']}")).json()
    assert file["status"] == "completed"
    assert (await eve.client.get(f"{API}/{file['id']}/content")).content == b"content"
    assert clamd.received == [b"content"]


async def test_b19_what_is_found_later_is_thrown_out(guarded: RunningPlatform, clamd: Any) -> None:
    eve = await sign_up(guarded, "eve")
    good = await upload(eve.client, "good.txt", b"clean")
    clamd.answer = None
    bad = await upload(eve.client, "bad.txt", b"infected")
    waiting = await eve.client.post(f"{API}/{good['id']}/versions", files={"file": ("a", b"worse")})
    assert waiting.status_code == 202
    assert (await eve.client.get(f"{API}/{good['id']}/content")).status_code == 409
    assert (await eve.client.get(f"{API}/{good['id']}/versions/1/content")).content == b"clean"
    clamd.answer = b"stream: Found.Late FOUND"
    await guarded.deliver(skip_waits=True)
    assert (await eve.client.get(f"{API}/{bad['id']}")).status_code == 404
    assert (await eve.client.post(f"{API}/{bad['id']}/restore")).status_code == 404
    file = (await eve.client.get(f"{API}/{good['id']}")).json()
    assert (file["version"], file["status"]) == (1, "completed")
    assert (await eve.client.get(f"{API}/{good['id']}/content")).content == b"clean"
    assert len(await guarded.kernel.storage.objects("file_management")) == 1
    assert (await eve.client.get(f"{API}/quota")).json()["used"] == len(b"clean")
    assert {event.detail for event in await guarded.events(FileRejected)} == {"Found.Late"}


async def test_b19_a_clamd_that_is_slow_or_has_a_smaller_limit_calls_nothing_clean(
    guarded: RunningPlatform, clamd: Any
) -> None:
    eve = await sign_up(guarded, "eve")
    clamd.pause_seconds = 2
    assert (await upload(eve.client, "slow.txt"))["status"] == "quarantined"
    clamd.pause_seconds, clamd.limit_bytes = 0, 1_500_000
    assert (await upload(eve.client, "large.bin", bytes(6_000_000)))["status"] == "quarantined"


async def test_readiness_says_which_scanner_there_is_and_production_is_warned(
    p: RunningPlatform, guarded: RunningPlatform, clamd: Any, caplog: pytest.LogCaptureFixture
) -> None:
    alone = (await p.client.get("/health/ready")).json()
    assert (alone["status"], alone["checks"]["scanner"]) == (
        "ok",
        "ok: signatures only, no clamd is configured",
    )
    with caplog.at_level("WARNING"):
        for url in (None, "unix:///clamd"):
            production = p.kernel.settings.model_copy(update={"environment": "production", "clamd_url": url})
            SignatureScanner(production)
    assert [record.message for record in caplog.records].count(
        "uploads are scanned for no real virus: PLATFORM_CLAMD_URL is not set"
    ) == 1
    with_clamd = (await guarded.client.get("/health/ready")).json()
    assert with_clamd["checks"]["scanner"] == "ok: ClamAV 1.4.6"
