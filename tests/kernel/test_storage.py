"""Where files are kept, on a folder of this machine: whole or not at all, and nothing left behind."""

import asyncio
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from platform_core.errors import NotFound, OperationError, Unavailable
from platform_core.storage import FileStorage, _Bucket, _Place

DATA = os.urandom(3 * 1024 * 1024 + 17)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[FileStorage]:
    made = FileStorage(f"file://{tmp_path}/files", tmp_path / "scratch")
    yield made
    made.close()


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def whole(storage: FileStorage, key: str, **part: int) -> bytes:
    return b"".join([piece async for piece in storage.read(key, **part)])


async def stored(storage: FileStorage, key: str, data: bytes = DATA) -> None:
    async with storage.draft() as draft:
        for start in range(0, len(data), 100_000):
            await draft.write(data[start : start + 100_000])
        await draft.finish()
        await draft.keep(key)


async def drained(storage: FileStorage) -> None:
    """Wait until the threads have done what they were told."""
    await asyncio.sleep(0)
    if storage._pool is not None:
        await asyncio.to_thread(storage._pool.shutdown)


async def test_what_is_kept_is_read_back_whole_and_in_part(storage: FileStorage) -> None:
    await stored(storage, "tests/one")
    assert await whole(storage, "tests/one") == DATA
    assert await whole(storage, "tests/one", start=5, stop=5) == b""
    assert await whole(storage, "tests/one", start=1_048_000, stop=2_100_000) == DATA[1_048_000:2_100_000]
    assert await whole(storage, "tests/one", start=len(DATA) - 3) == DATA[-3:]


async def test_a_draft_knows_its_size_digest_and_head(storage: FileStorage) -> None:
    async with storage.draft() as draft:
        await draft.write(DATA[:10])
        await draft.write(DATA[10:])
        await draft.finish()
        assert (draft.size_bytes, draft.sha256) == (len(DATA), hashlib.sha256(DATA).hexdigest())
        assert draft.head == DATA[:8192]
        assert b"".join([piece async for piece in draft.chunks()]) == DATA
        assert draft.path.read_bytes() == DATA


async def test_an_empty_draft_is_a_file_too(storage: FileStorage) -> None:
    await stored(storage, "tests/empty", b"")
    assert await whole(storage, "tests/empty") == b""


async def test_what_nobody_keeps_is_gone(storage: FileStorage, tmp_path: Path) -> None:
    async with storage.draft() as draft:
        await draft.write(DATA)
    await drained(storage)
    assert files_in(tmp_path) == []


async def test_who_is_cancelled_in_between_leaves_nothing(storage: FileStorage, tmp_path: Path) -> None:
    async def endless() -> None:
        async with storage.draft() as draft:
            while True:
                await draft.write(DATA)

    task = asyncio.create_task(endless())
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await drained(storage)
    assert files_in(tmp_path) == []


async def test_a_refusal_takes_back_what_was_kept_and_nothing_else_does(storage: FileStorage) -> None:
    async def kept(key: str, outcome: Exception) -> None:
        async with storage.draft() as draft:
            await draft.finish()
            await draft.keep(key)
            raise outcome

    for number, outcome in enumerate((NotFound(), Unavailable(), ConnectionError())):
        with pytest.raises(type(outcome)):
            await kept(f"tests/{number}", outcome)
    # after a lost connection nobody knows whether something refers to it
    assert [one.key for one in await storage.objects("tests")] == ["tests/1", "tests/2"]


async def test_keeping_again_under_the_same_key_is_nothing(storage: FileStorage) -> None:
    async with storage.draft() as draft:
        await draft.write(b"one")
        await draft.finish()
        await draft.keep("tests/one")
        await draft.keep("tests/one")
        assert draft.path.read_bytes() == b"one", "whoever is run again can look at it again"
        assert [piece async for piece in draft.chunks()] == [b"one"]
    assert await whole(storage, "tests/one") == b"one"


async def test_deleting_twice_is_no_error_and_reading_then_says_so(storage: FileStorage) -> None:
    await stored(storage, "tests/one")
    await storage.delete(["tests/one"])
    await storage.delete(["tests/one"])
    with pytest.raises(FileNotFoundError):
        await whole(storage, "tests/one")


async def test_objects_are_listed_below_a_folder(storage: FileStorage) -> None:
    for key in ("tests/a/one", "tests/a/two", "tests/b/three"):
        await stored(storage, key, key.encode())
    found = await storage.objects("tests/a")
    assert [(one.key, one.size_bytes) for one in found] == [("tests/a/one", 11), ("tests/a/two", 11)]
    assert abs((datetime.now(UTC) - found[0].modified_at).total_seconds()) < 60
    assert await storage.objects("tests/nowhere") == []


@pytest.mark.parametrize(
    "key",
    [
        "../etc/passwd",
        "tests/../../x",
        "/etc/passwd",
        "tests",
        "tests//x",
        "tests/",
        "tests/.hidden",
        ".drafts/x",
        "simplecache::file:///etc/passwd",
        "zip://a::http://127.0.0.1",
        "tests/a\0b",
        "tests/%2e%2e/x",
        "Tests/x",
    ],
)
async def test_rows_59_and_70_a_key_that_no_code_makes_opens_nothing(storage: FileStorage, key: str) -> None:
    with pytest.raises(ValueError, match="made by code"):
        await whole(storage, key)
    with pytest.raises(ValueError, match="made by code"):
        await stored(storage, key, b"x")


async def test_row_69_a_link_in_the_folder_leads_nowhere(storage: FileStorage, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    await stored(storage, "tests/one")
    (tmp_path / "files/tests/link").symlink_to(secret)
    with pytest.raises(Unavailable):
        await whole(storage, "tests/link")
    assert [one.key for one in await storage.objects("tests")] == ["tests/one"]


async def test_what_a_dead_process_left_is_swept_and_nothing_younger(
    storage: FileStorage, tmp_path: Path
) -> None:
    await stored(storage, "tests/one")
    drafts = tmp_path / "files/.drafts"
    for name, age_seconds in (("old", 7200), ("young", 60)):
        (drafts / name).write_bytes(b"x")
        os.utime(drafts / name, (time.time() - age_seconds,) * 2)
    assert await storage.sweep(datetime.now(UTC) - timedelta(hours=1)) == 1
    assert [path.name for path in drafts.iterdir()] == ["young"]
    assert await whole(storage, "tests/one") == DATA


async def test_a_storage_that_is_away_says_so_and_not_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    storage = FileStorage(f"file://{tmp_path}/file/below", tmp_path)
    with pytest.raises(OperationError, match="cannot be reached"):
        await storage.ping()
    with pytest.raises(Unavailable) as refused:
        await stored(storage, "tests/one")
    assert str(tmp_path) not in refused.value.message
    storage.close()


async def test_files_that_are_written_do_not_hold_up_the_loop(storage: FileStorage) -> None:
    async def beats() -> float:
        longest, before = 0.0, time.perf_counter()
        for _ in range(60):
            await asyncio.sleep(0.002)
            longest, before = max(longest, time.perf_counter() - before), time.perf_counter()
        return longest

    longest = 1.0
    for number in range(3):  # other programs of this machine may hold up one of them, not all
        held, _ = await asyncio.gather(beats(), stored(storage, f"tests/large{number}", DATA * 10))
        longest = min(longest, held)
    assert longest < 0.1


async def test_credentials_that_rotate_open_one_place_and_close_the_old_one_when_its_last_call_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    closed: list[object] = []

    class Watched(_Bucket):
        def __init__(self, url: str, scratch: Path) -> None:
            super().__init__(url, scratch)
            time.sleep(0.02)  # so that every thread comes before the first of them is ready
            opened.append(self)

        def close(self) -> None:
            super().close()
            assert threading.current_thread().name.startswith("storage"), "never on the platform's own loop"
            closed.append(self)

    monkeypatch.setattr("platform_core.storage._Bucket", Watched)
    credentials = tmp_path / "credentials"
    credentials.write_text("first")
    storage = FileStorage("memory://files", tmp_path / "scratch", credentials=credentials)
    await asyncio.gather(*(storage.objects("tests") for _ in range(8)))
    assert (len(opened), closed) == (1, [])

    is_under_way, may_end = threading.Event(), threading.Event()

    def upload(place: _Place) -> object:
        is_under_way.set()
        may_end.wait(10)
        return place

    transfer = asyncio.create_task(storage._run(upload, patience_seconds=20))
    await asyncio.to_thread(is_under_way.wait)
    credentials.write_text("the second")
    await asyncio.gather(*(storage.objects("tests") for _ in range(8)))
    assert (len(opened), closed) == (2, []), "the transfer keeps its client"
    may_end.set()
    assert await transfer is opened[0]
    assert closed == opened[:1]

    credentials.write_text("and the third")
    await storage.objects("tests")
    assert closed == opened[:2], "nobody was in it"
    storage.close()
