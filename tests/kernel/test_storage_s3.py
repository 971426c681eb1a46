"""Files in S3: a real server with real signatures, and what happens when it is slow, away, or cut off. B17, B18."""

import asyncio
import errno
import io
import os
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import s3fs
from botocore.exceptions import BotoCoreError
from seaweed import seaweed

from platform_core.errors import OperationError, Unavailable
from platform_core.storage import FileStorage
from platform_core.testing import run_process
from platform_core.testing.chaos import Address, Proxy
from platform_core.testing.chaos import proxy as proxied

KEY, SECRET = "files", "a-secret-of-these-tests"
SECOND_KEY, SECOND_SECRET = "files-2", "another-secret-of-these-tests"
DATA = os.urandom(20 * 1024 * 1024 + 17)

pytestmark = [
    pytest.mark.processes,
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("uvx") is None, reason="the S3 server comes by uvx"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("s3")
    s3 = seaweed(folder, {KEY: SECRET, SECOND_KEY: SECOND_SECRET})
    with run_process(s3.command, ready="Start Seaweed S3 API Server", timeout_seconds=120):
        yield s3.endpoint


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def bucket(server: str, credentials: None) -> Iterator[Any]:
    """The bucket as somebody sees it who looks past the platform."""
    files = s3fs.S3FileSystem(endpoint_url=server, skip_instance_cache=True, use_listings_cache=False)
    end = time.monotonic() + 60
    while True:
        try:
            if not files.exists("bucket"):
                files.mkdir("bucket")
            files.pipe_file("bucket/warm", b"up")  # the first write into a fresh volume takes its time
            break
        except (OSError, BotoCoreError):
            if time.monotonic() > end:
                raise
            time.sleep(0.5)
    yield files
    files.rm("bucket", recursive=True)


@pytest.fixture
def storage(tmp_path: Path, bucket: Any) -> Iterator[Callable[..., FileStorage]]:
    made: list[FileStorage] = []

    def make(endpoint: str, credentials: Path | None = None) -> FileStorage:
        url = f"s3://bucket/some/prefix?endpoint_url={endpoint}"
        made.append(FileStorage(url, tmp_path / "scratch", credentials=credentials))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def proxy(server: str) -> Iterator[tuple[Proxy, str]]:
    with proxied(Address("127.0.0.1", int(server.rpartition(":")[2]))) as made:
        yield made, f"http://127.0.0.1:{made.port}"


async def keep(storage: FileStorage, key: str, data: bytes = DATA) -> None:
    async with storage.draft() as draft:
        for start in range(0, len(data), 1_000_000):
            await draft.write(data[start : start + 1_000_000])
        await draft.finish()
        await draft.keep(key)


async def whole(storage: FileStorage, key: str, **part: int) -> bytes:
    return b"".join([piece async for piece in storage.read(key, **part)])


def half_uploads(bucket: Any) -> list[Any]:
    found: list[Any] = bucket.call_s3("list_multipart_uploads", Bucket="bucket").get("Uploads", [])
    return found


@pytest.mark.parametrize("size", [0, 1, 5 * 1024 * 1024, 8 * 1024 * 1024, len(DATA)])
async def test_what_is_kept_is_read_back_whole_and_in_part(
    storage: Callable[[str], FileStorage], server: str, bucket: Any, size: int
) -> None:
    files, data = storage(server), DATA[:size]
    await keep(files, "tests/one", data)
    assert await whole(files, "tests/one", stop=size) == data
    assert await whole(files, "tests/one") == data
    middle = size // 2
    assert await whole(files, "tests/one", start=middle, stop=size) == data[middle:]
    assert bucket.info("bucket/some/prefix/tests/one")["size"] == size
    assert half_uploads(bucket) == []


async def test_objects_are_listed_deleted_and_gone_at_once(
    storage: Callable[[str], FileStorage], server: str
) -> None:
    files, other = storage(server), storage(server)
    assert await files.objects("tests/a") == []
    await keep(files, "tests/a/one", b"12345")
    [found] = await other.objects("tests/a")
    assert (found.key, found.size_bytes) == ("tests/a/one", 5)
    assert abs((datetime.now(UTC) - found.modified_at).total_seconds()) < 60
    await other.delete(["tests/a/one", "tests/a/never"])
    with pytest.raises(FileNotFoundError):
        await whole(files, "tests/a/one", stop=5)
    assert await files.objects("tests/a") == []


async def test_a_wrong_secret_stores_nothing_and_says_nothing_of_itself(
    storage: Callable[[str], FileStorage], server: str, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    files = storage(server)
    with pytest.raises(OperationError, match="cannot be reached"):
        await files.ping()
    with pytest.raises(Unavailable) as refused:
        await keep(files, "tests/one", b"x")
    assert KEY not in refused.value.message
    assert not bucket.exists("bucket/some/prefix/tests/one")


async def test_keys_are_rotated_without_a_restart(
    storage: Callable[..., FileStorage],
    server: str,
    bucket: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    mounted, fresh = tmp_path / "aws-credentials", tmp_path / "fresh"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(mounted))

    def mount(key: str, secret: str) -> None:
        fresh.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
        fresh.replace(mounted)

    mount(KEY, SECRET)
    files = storage(server, mounted)
    await keep(files, "tests/one", b"12345")
    mount(SECOND_KEY, "not known to the server")
    with pytest.raises(Unavailable):
        await whole(files, "tests/one", stop=5)
    mount(SECOND_KEY, SECOND_SECRET)
    assert await whole(files, "tests/one", stop=5) == b"12345"
    mounted.unlink()
    assert await whole(files, "tests/one", stop=5) == b"12345", "while it is replaced, what is known goes on"


async def test_a_client_with_old_keys_is_closed_when_its_transfer_has_ended(
    storage: Callable[..., FileStorage], proxy: tuple[Proxy, str], tmp_path: Path
) -> None:
    slow, address = proxy
    mounted = tmp_path / "credentials"
    mounted.write_text("first")
    files = storage(address, mounted)
    old = await files._run(lambda place: place._files)  # type: ignore[attr-defined]  # the client itself

    def is_open() -> bool:
        return old._s3creator._client._endpoint.http_session._sessions is not None

    await files.ping()
    slow.delay(0.02)  # the whole takes six seconds and more
    transfer = asyncio.create_task(keep(files, "tests/one"))
    await asyncio.sleep(1)
    mounted.write_text("the second")
    await files.ping()
    assert not transfer.done()
    assert is_open()
    slow.heal()
    await transfer
    await files.ping()
    assert not is_open()
    assert await whole(files, "tests/one") == DATA


@pytest.mark.parametrize("seconds", [0.3, 1.5, 3])
async def test_b17_a_transfer_that_is_cut_off_stores_nothing_and_what_is_left_is_swept(
    storage: Callable[[str], FileStorage], proxy: tuple[Proxy, str], bucket: Any, seconds: float
) -> None:
    cutting, address = proxy
    files = storage(address)
    await files.ping()
    cutting.delay(0.02)  # the whole would take six seconds and more
    asyncio.get_running_loop().call_later(seconds, cutting.refuse)
    with pytest.raises(Unavailable):
        await keep(files, "tests/one")
    cutting.heal()
    assert not bucket.exists("bucket/some/prefix/tests/one"), "never the half of a file"
    await files.sweep(datetime.now(UTC) + timedelta(minutes=1))
    assert half_uploads(bucket) == []
    await keep(files, "tests/one")
    assert await whole(files, "tests/one") == DATA


class HalfReadable:
    """A draft on a disk that fails after ten megabytes."""

    def open(self, _mode: str) -> io.BufferedReader:
        class Disk(io.RawIOBase):
            left = 10

            def readable(self) -> bool:
                return True

            def readinto(self, buffer: Any) -> int:
                self.left -= 1
                if self.left < 0:
                    raise OSError(errno.EIO, "the disk fails")
                buffer[:] = bytes(len(buffer))
                return len(buffer)

        return io.BufferedReader(Disk(), 1024 * 1024)


async def test_b17_a_draft_that_cannot_be_read_to_its_end_is_not_stored_as_its_half(
    storage: Callable[[str], FileStorage], server: str, bucket: Any
) -> None:
    draft: Any = HalfReadable()
    with pytest.raises(OSError, match="the disk fails"):
        await asyncio.to_thread(storage(server)._call, lambda place: place.keep(draft, "tests/one"))
    assert not bucket.exists("bucket/some/prefix/tests/one")
    assert half_uploads(bucket) == []


async def test_b17_uploads_that_run_just_now_are_not_swept(
    storage: Callable[[str], FileStorage], server: str, bucket: Any
) -> None:
    begun = bucket.call_s3("create_multipart_upload", Bucket="bucket", Key="some/prefix/tests/half")
    files = storage(server)
    assert await files.sweep(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert [one["UploadId"] for one in half_uploads(bucket)] == [begun["UploadId"]]
    assert await files.sweep(datetime.now(UTC) + timedelta(minutes=1)) == 1
    assert half_uploads(bucket) == []


@pytest.mark.parametrize("fault", ["refuse", "black_hole"])
async def test_b18_a_server_that_is_away_is_told_within_seconds_and_missed_by_nobody_later(
    storage: Callable[[str], FileStorage], proxy: tuple[Proxy, str], fault: str
) -> None:
    troubled, address = proxy
    files = storage(address)
    await keep(files, "tests/one", b"12345")
    getattr(troubled, fault)()
    for attempt in (
        lambda: whole(files, "tests/one", stop=5),
        lambda: keep(files, "tests/two", b"x"),
        lambda: files.delete(["tests/never"]),
    ):
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await attempt()
        assert time.monotonic() - began < 6.5
    troubled.heal()
    assert await whole(files, "tests/one", stop=5) == b"12345"
