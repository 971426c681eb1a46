"""
Where the servers of tests keep their data, and who removes what killed runs left; private to the test kit.

Every directory has a lock file beside it, locked for as long as its owner lives: the system frees it whichever way
the owner ends. So a directory whose lock is free is nobody's any more, and the next run takes it away.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from platform_core.errors import OperationError
from platform_core.testing._memory import available_bytes

_MEMORY = Path("/dev/shm")  # noqa: S108  # what is made there is closed to others
_PLENTY_BYTES = 4 * 1024**3
_LARGEST_BYTES = 1024**3
"""Templates of code that has changed since add up; a directory that is larger is emptied, and made anew in seconds."""

_PREFIX = "platform-servers-"


class ServersUnavailable(OperationError):
    """The servers for the tests could not be started or reached."""


@contextlib.contextmanager
def reserved_directory() -> Iterator[Path]:
    """
    Reserve a data directory that an earlier run may have filled: initdb and migrated templates are then there already.

    Concurrent runs get directories of their own. One whose run did not end properly is emptied first: these servers do
    not wait for the disk, so nothing in it can be trusted.
    """
    _sweep()
    root = _root()
    for number in itertools.count():
        lock = os.open(root / f"{number}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        slot, clean = root / str(number), root / f"{number}.clean"
        if not (_locked(lock) and _prepared(slot, clean)):
            os.close(lock)
            continue
        try:
            yield slot
            clean.touch()  # not reached when the run was killed
        finally:
            os.close(lock)
        return


@contextlib.contextmanager
def servers_directory() -> Iterator[Path]:
    """
    Make a directory for servers of a test's own, and remove it with all they left.

    Where root runs the tests, PostgreSQL runs as another account. pytest's directories are closed to that one, and what
    the servers keep elsewhere instead (see `platform_core.embedded`) nobody would remove.
    """
    _sweep()
    lock, path = _new_lock(_place().resolve())
    directory = path.with_suffix("")
    try:
        directory.mkdir()
        directory.chmod(0o711)
        yield directory
    finally:
        _remove(directory)
        _forget(path, directory)
        os.close(lock)


# ── places ───────────────────────────────────────────────────────────────────────────────────────


def _place() -> Path:
    """
    Return where servers keep their data: in memory where there is plenty, unless `TMPDIR` says where.

    A test's database is some 600 files that live for a second; on a disk they cost more than most tests do.
    """
    if not os.environ.get("TMPDIR") and _has_plenty(_MEMORY):
        return _MEMORY
    return Path(tempfile.gettempdir())


def _has_plenty(memory: Path) -> bool:
    return (
        memory.is_dir()
        and os.access(memory, os.W_OK | os.X_OK)
        and min(shutil.disk_usage(memory).free, available_bytes()) > _PLENTY_BYTES
    )


def _root() -> Path:
    root = _place() / f"platform-core-tests-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        root.mkdir(mode=0o711)
        root.chmod(0o711)  # passable for the servers' account when root runs the tests
    status = root.lstat()
    if root.is_symlink() or status.st_uid != os.getuid():
        raise ServersUnavailable(
            f"{root} belongs to somebody else. Remove it, or set TMPDIR to a directory of yours."
        )
    return root


# ── what earlier runs left behind ────────────────────────────────────────────────────────────────


def _new_lock(place: Path) -> tuple[int, Path]:
    """Return a lock of our own, and its file. Somebody who sweeps may see it before it is locked: then another one."""
    while True:
        lock, name = tempfile.mkstemp(prefix=_PREFIX, suffix=".lock", dir=place)
        path = Path(name)
        if _locked(lock) and _is_of(lock, path):
            return lock, path
        os.close(lock)


def _sweep() -> None:
    """Remove directories of owners that were killed, wherever runs may have put them."""
    for place in {_MEMORY, Path(tempfile.gettempdir())}:
        for path in place.glob(f"{_PREFIX}*.lock"):
            # somebody else's, or somebody else was faster
            with contextlib.suppress(OSError):
                _take_away(path)


def _take_away(path: Path) -> None:
    lock = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        is_ours = os.fstat(lock).st_uid == os.getuid()
        directory = path.with_suffix("")
        if is_ours and _locked(lock) and _is_of(lock, path) and not _is_served(directory):
            _remove(directory)
            _forget(path, directory)
    finally:
        os.close(lock)


def _forget(path: Path, directory: Path) -> None:
    """Remove the lock's file; where something of the directory is left, the next run needs it to try again."""
    if not directory.exists():
        path.unlink(missing_ok=True)


def _is_of(lock: int, path: Path) -> bool:
    """Tell whether the lock's file is still there: one that was removed keeps nobody out."""
    try:
        return os.path.samestat(os.fstat(lock), path.lstat())
    except FileNotFoundError:
        return False


def _prepared(slot: Path, clean: Path) -> bool:
    """Tell whether the directory may be used; servers of a killed run may still be on their way out of it."""
    if clean.exists():
        clean.unlink()
        if _size_bytes(slot) < _LARGEST_BYTES:
            return True
    if _is_served(slot):
        return False
    _remove(slot)
    return True


def _is_served(directory: Path) -> bool:
    """Tell whether servers still work in it; they hold a lock of their own."""
    if not (directory / "embedded.lock").exists():
        return False
    lock = os.open(directory / "embedded.lock", os.O_RDWR)
    try:
        return not _locked(lock)
    finally:
        os.close(lock)


def _remove(directory: Path) -> None:
    if shelter := _shelter(directory):
        shutil.rmtree(shelter, ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)


def _shelter(directory: Path) -> Path | None:
    """Return where the servers keep their data instead, if their account cannot reach the directory."""
    link = directory / "embedded"
    is_ours = link.is_symlink() and link.lstat().st_uid == os.getuid()
    return link.resolve() if is_ours else None


def _size_bytes(slot: Path) -> int:
    folders = filter(None, (slot, _shelter(slot)))
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
