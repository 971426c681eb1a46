"""
Where files are kept: a folder of this machine, or whatever else fsspec can open, named by `STORAGE_URL`.

What comes in is a draft first: a file on a local disk, hashed on the way. Keeping it is one rename where the storage is
a folder, and one transfer that can be taken back where it is an object store. File systems block, so every touch
happens in threads of this module's own, and a storage that hangs costs its caller seconds, not the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import hashlib
import os
import re
import secrets
import threading
import time
import urllib.parse
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import fsspec
import structlog

from platform_core.errors import DomainError, Kind, OperationError, Unavailable
from platform_core.ports import StoredObject

__all__ = ["FileStorage"]

T = TypeVar("T")

logger = structlog.get_logger("platform_core.storage")

_PIECE_BYTES: Final = 1024 * 1024
"""Written, and read from a disk, at once: so large that the way to a thread does not count, small enough to hold."""

_PART_BYTES: Final = 8 * 1024 * 1024
"""Parts of an upload to an object store; S3 takes at most 10,000 of at least 5 MiB."""

_HEAD_BYTES: Final = 8192
_THREADS_COUNT: Final = 16
_PATIENCE_SECONDS: Final = 5.0
"""One touch of the storage may take so long; botocore alone would wait for minutes."""

_KEY: Final = re.compile(r"[a-z0-9_]+(/[a-z0-9_-]+(\.[a-z0-9]+)?)+")
_DRAFTS: Final = ".drafts"

_FileState = tuple[int, int, int]


class _Place(Protocol):
    """A kind of storage, as blocking calls."""

    drafts: Path
    piece_bytes: int

    def look(self) -> bool: ...
    def keep(self, draft: Path, key: str) -> Path: ...
    def read(self, key: str, start: int, stop: int) -> bytes: ...
    def delete(self, key: str) -> None: ...
    def objects(self, prefix: str) -> list[StoredObject]: ...
    def sweep(self, before: float) -> int: ...
    def close(self) -> None: ...


class _Opened:
    """A place, the state of the credentials it was opened with, and how many hold it: its storage, and each call."""

    def __init__(self, place: _Place, state: _FileState | None) -> None:
        self.place, self.state, self.holders_count = place, state, 1


class FileStorage:
    """
    `ports.Storage` over one `STORAGE_URL`; nothing is opened before it is needed.

    Args:
        url: `file:///var/lib/platform/files`, `s3://bucket/prefix?endpoint_url=…`; set by the deployer, never by a
            client. What follows `?` are the file system's own options; secrets come from its own environment.
        scratch: folder for drafts, where the storage is not a folder of this machine itself.
        credentials: the file that the file system reads its secrets from once, where there is one: the storage is
            opened anew when it is another, so that they rotate without a restart.
    """

    def __init__(self, url: str, scratch: Path, *, credentials: Path | None = None) -> None:
        self._url, self._scratch, self._credentials = url, scratch, credentials
        self._present: _Opened | None = None
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def close(self) -> None:
        """Let go of the threads; one that hangs is not waited for."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)

    async def ping(self) -> None:
        """
        Look at the root.

        Raises:
            OperationError: it cannot be reached or does not exist.
        """
        try:
            found = await self._run(lambda place: place.look())
        except (Unavailable, FileNotFoundError) as error:
            cause = error.__cause__ or error
            raise OperationError(f"the storage cannot be reached: {type(cause).__name__}") from error
        if not found:
            raise OperationError("the storage's root does not exist")

    @contextlib.asynccontextmanager
    async def draft(self) -> AsyncIterator[_Draft]:
        drafts = await self._run(lambda place: place.drafts)
        draft = _Draft(self, drafts / secrets.token_hex(16))
        try:
            yield draft
        except DomainError as refusal:
            if refusal.kind is not Kind.UNAVAILABLE and draft.kept_as is not None:
                await self.delete([draft.kept_as])
            raise
        finally:
            # also when the request was cancelled: the next line must not wait for anything
            self._threads.submit(draft.forget)

    @property
    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS_COUNT, thread_name_prefix="storage")
        return self._pool

    async def read(self, key: str, *, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        checked, end = _checked(key), 2**63 if stop is None else stop
        piece_bytes = await self._run(lambda place: place.piece_bytes)
        while start < end:
            upto = min(start + piece_bytes, end)
            piece = await self._run(functools.partial(_read, key=checked, start=start, stop=upto))
            if piece:
                yield piece
            start += len(piece)
            if start < upto:  # the object ends here
                return

    async def delete(self, keys: Iterable[str]) -> None:
        for key in map(_checked, keys):
            with contextlib.suppress(FileNotFoundError):
                await self._run(functools.partial(_delete, key=key))

    async def objects(self, prefix: str) -> Sequence[StoredObject]:
        _checked(f"{prefix}/object")
        try:
            return await self._run(lambda place: place.objects(prefix), patience_seconds=60)
        except FileNotFoundError:
            return []

    async def sweep(self, before: datetime) -> int:
        return await self._run(lambda place: place.sweep(before.timestamp()), patience_seconds=60)

    async def _run(self, call: Callable[[_Place], T], *, patience_seconds: float = _PATIENCE_SECONDS) -> T:
        """Touch the storage in a thread; what it says about itself stays in the log."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(patience_seconds):
                return await loop.run_in_executor(self._threads, self._call, call)
        except FileNotFoundError:
            raise
        except Exception as error:
            # a file system may raise whatever its library does; clients learn that the storage is away
            logger.warning("the storage failed", error=f"{type(error).__name__}: {error}")
            raise Unavailable("The file storage is away.", retry_after_seconds=2) from error

    def _call(self, call: Callable[[_Place], T]) -> T:
        with self._held() as place:
            return call(place)

    @contextlib.contextmanager
    def _held(self) -> Iterator[_Place]:
        """Hold the present place: one that is replaced meanwhile stays open until the last call in it has ended."""
        with self._lock:
            before = self._present
            opened = self._present = self._opened()
            opened.holders_count += 1
        if before is not None and before is not opened:
            self._let_go(before)
        try:
            yield opened.place
        finally:
            self._let_go(opened)

    def _let_go(self, opened: _Opened) -> None:
        with self._lock:
            opened.holders_count -= 1
            is_last = opened.holders_count == 0
        if is_last:
            try:
                opened.place.close()
            except Exception as error:  # noqa: BLE001  # whatever its library raises: nobody needs it any more
                logger.warning("a storage was not closed", error=f"{type(error).__name__}: {error}")

    def _opened(self) -> _Opened:
        # looked at before they are read: opened once too often, never too seldom
        state = _state_of(self._credentials) if self._credentials else None
        # while the file is away, as one may be that is being replaced, the credentials that are known go on
        if self._present is not None and (state is None or state == self._present.state):
            return self._present
        if urllib.parse.urlsplit(self._url).scheme in ("", "file"):
            return _Opened(_Folder(Path(self._url.removeprefix("file://"))), state)
        return _Opened(_Bucket(self._url, self._scratch), state)


class _Draft:
    """`ports.Draft`: a file below the storage's own folder of drafts, made with its first megabyte."""

    def __init__(self, storage: FileStorage, path: Path) -> None:
        self._storage, self._draft = storage, path
        self._path = path  # where the bytes are, which keeping them may change
        self._pending = bytearray()
        self._digest = hashlib.sha256()
        self._lock = threading.Lock()
        self._file: int | None = None
        self._is_finished = self._is_forgotten = False
        self.kept_as: str | None = None
        self.size_bytes = 0
        self.head = b""

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    @property
    def path(self) -> Path:
        return self._path

    async def write(self, data: bytes) -> None:
        self._pending += data
        self.size_bytes += len(data)
        if len(self._pending) >= _PIECE_BYTES:
            await self._flush(is_last=False)

    async def finish(self) -> None:
        if not self._is_finished:
            await self._flush(is_last=True)
            self._is_finished = True

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        for start in range(0, self.size_bytes, _PIECE_BYTES):
            yield await self._storage._run(lambda _, start=start: _piece_of(self._path, start))  # type: ignore[misc]  # bound at once

    async def keep(self, key: str) -> None:
        checked = _checked(key)
        if self.kept_as == checked:
            return
        # the transfer to an object store takes as long as the bytes need
        patience = _PATIENCE_SECONDS + self.size_bytes / (256 * 1024)
        self._path = await self._storage._run(
            lambda place: place.keep(self._draft, checked), patience_seconds=patience
        )
        self.kept_as = checked

    def forget(self) -> None:
        """Delete the bytes from the local disk; blocking, so in a thread."""
        with self._lock:  # a cancelled request may leave a thread behind that is still writing
            self._is_forgotten = True
            if self._file is not None:
                os.close(self._file)
                self._file = None
            self._draft.unlink(missing_ok=True)

    async def _flush(self, *, is_last: bool) -> None:
        pending, self._pending = self._pending, bytearray()
        if len(self.head) < _HEAD_BYTES:
            self.head += bytes(pending[: _HEAD_BYTES - len(self.head)])
        await self._storage._run(lambda _: self._append(pending, is_last))

    def _append(self, data: bytearray, is_last: bool) -> None:
        with self._lock:
            if self._is_forgotten:
                return
            if self._file is None:
                self._draft.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                self._file = os.open(self._draft, flags, 0o600)
            self._digest.update(data)
            _write_all(self._file, data)
            if is_last:
                os.fsync(self._file)  # who is told "stored" finds it after a power cut, too
                os.close(self._file)
                self._file = None


class _Folder:
    """A folder of this machine; drafts lie beside the objects, so that keeping one is a rename."""

    piece_bytes = _PIECE_BYTES

    def __init__(self, root: Path) -> None:
        self._root = root
        self.drafts = root / _DRAFTS
        root.mkdir(parents=True, exist_ok=True)

    def look(self) -> bool:
        return self._root.is_dir()

    def keep(self, draft: Path, key: str) -> Path:
        target = self._root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return target

    def read(self, key: str, start: int, stop: int) -> bytes:
        return _piece_of(self._root / key, start, stop - start)

    def delete(self, key: str) -> None:
        (self._root / key).unlink()

    def objects(self, prefix: str) -> list[StoredObject]:
        found = []
        for path in sorted((self._root / prefix).rglob("*")):
            status = path.lstat()
            if path.is_file() and not path.is_symlink():
                modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
                key = path.relative_to(self._root).as_posix()
                found.append(StoredObject(key, status.st_size, modified_at))
        return found

    def sweep(self, before: float) -> int:
        return _sweep_drafts(self.drafts, before)

    def close(self) -> None:
        """Nothing is open between two calls."""


class _Bucket:
    """Anything else that fsspec opens; S3 above all."""

    piece_bytes = 4 * _PIECE_BYTES  # each piece is a request of its own

    def __init__(self, url: str, scratch: Path) -> None:
        address, _, query = url.partition("?")
        protocol = address.partition("://")[0]
        options: dict[str, Any] = dict(urllib.parse.parse_qsl(query))
        # a listing cache would hide what other processes write, and instances are shared per arguments
        options |= {"use_listings_cache": False, "skip_instance_cache": True}
        if protocol == "s3":
            options["config_kwargs"] = {
                "connect_timeout": 2,
                "read_timeout": 4,
                "retries": {"max_attempts": 1, "mode": "standard"},
            }
        self._files: Any
        self._files, root = fsspec.core.url_to_fs(address, **options)
        if protocol == "s3":
            self._files.retries = 1  # each repetition would double the wait
        self._root, self.drafts = root.rstrip("/"), scratch / "drafts"

    def look(self) -> bool:
        if not hasattr(self._files, "call_s3"):
            return bool(self._files.exists(self._root))
        # a prefix without objects does not exist, and listing one takes a refusal for an empty answer
        self._files.call_s3("head_bucket", Bucket=self._root.partition("/")[0])
        return True

    def keep(self, draft: Path, key: str) -> Path:
        target = self._files.open(self._at(key), "wb", block_size=_PART_BYTES, autocommit=False)
        try:
            with draft.open("rb") as source:
                while piece := source.read(_PIECE_BYTES):
                    target.write(piece)
            target.close()
            target.commit()
        except BaseException:
            # leaving such a file open or closing it would store the half of it
            target.closed = True
            with contextlib.suppress(Exception):  # whatever is left of it, `sweep` takes away later
                target.discard()
            raise
        return draft

    def read(self, key: str, start: int, stop: int) -> bytes:
        try:
            piece: bytes = self._files.cat_file(self._at(key), start=start, end=stop)
        except OSError as error:
            if error.errno == errno.EINVAL:  # how s3fs calls a range that begins at the end
                return b""
            raise
        return piece

    def delete(self, key: str) -> None:
        self._files.rm_file(self._at(key))

    def objects(self, prefix: str) -> list[StoredObject]:
        found = self._files.find(self._at(prefix), detail=True)
        return [
            StoredObject(path.removeprefix(f"{self._root}/"), entry["size"], _modified(entry))
            for path, entry in sorted(found.items())
            # some servers list an empty folder as an object of its own
            if entry["type"] == "file" and path.startswith(f"{self._at(prefix)}/")
        ]

    def sweep(self, before: float) -> int:
        return _sweep_drafts(self.drafts, before) + self._abort_uploads(before)

    def close(self) -> None:
        """Close the connections; on their own loop, and not wherever the garbage collector happens to run."""
        client = getattr(self._files, "_s3creator", None)  # none before the first request
        if client is not None:
            self._files.close_session(self._files.loop, client)

    def _abort_uploads(self, before: float) -> int:
        if not hasattr(self._files, "call_s3"):
            return 0
        bucket, _, prefix = self._root.partition("/")
        listed = self._files.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix)
        old = [one for one in listed.get("Uploads", ()) if one["Initiated"].timestamp() < before]
        for one in old:
            self._files.call_s3(
                "abort_multipart_upload", Bucket=bucket, Key=one["Key"], UploadId=one["UploadId"]
            )
        return len(old)

    def _at(self, key: str) -> str:
        return f"{self._root}/{key}"


def _state_of(file: Path) -> _FileState | None:
    """Return what tells one content of a file from the next; None while it is away."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError("a key of the storage is made by code: lower-case letters, digits, - _ and /")
    return key


def _read(place: _Place, key: str, start: int, stop: int) -> bytes:
    return place.read(key, start, stop)


def _delete(place: _Place, key: str) -> None:
    place.delete(key)


def _piece_of(path: Path, start: int, size: int = _PIECE_BYTES) -> bytes:
    # a link planted in the folder would lead out of it
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return os.pread(file, size, start)
    finally:
        os.close(file)


def _write_all(file: int, data: bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sweep_drafts(folder: Path, before: float) -> int:
    count = 0
    for path in folder.glob("*") if folder.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):  # its owner was faster
            if path.stat().st_mtime < before:
                path.unlink()
                count += 1
    return count


def _modified(entry: dict[str, Any]) -> datetime:
    value = entry.get("LastModified") or entry.get("mtime") or entry.get("created") or time.time()
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    assert isinstance(value, datetime)  # noqa: S101  # as every file system of fsspec's documents it
    return value.astimezone(UTC)
