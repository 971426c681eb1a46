"""Where the servers of a run keep their data, and that killed runs leave nothing for good."""

import contextlib
import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_core.testing import _directories
from platform_core.testing._memory import available_bytes

pytestmark = pytest.mark.processes

GIB = 1024**3


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Memory and the usual place for temporary files, of this test's own."""
    memory, temporary = tmp_path / "memory", tmp_path / "temporary"
    memory.mkdir()
    temporary.mkdir()
    monkeypatch.setattr(_directories, "_MEMORY", memory)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))
    return memory, temporary


# ── what is left ─────────────────────────────────────────────────────────────────────────────────

OWNER = """
import time
from platform_core.testing._directories import servers_directory

with servers_directory() as directory:
    (directory / "postgres").mkdir()
    (directory / "postgres" / "data").touch()
    print(directory, flush=True)
    time.sleep(300)
"""


@contextlib.contextmanager
def owner(place: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run a process that has a directory in that place."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        env={**os.environ, "TMPDIR": str(place)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_directories_of_killed_owners_go_with_the_next_start_and_those_of_living_ones_stay(
    places: tuple[Path, Path],
) -> None:
    memory, temporary = places
    with owner(memory) as (one, left), owner(temporary) as (other, left_too), owner(temporary) as (_, used):
        assert {left.parent, left_too.parent, used.parent} == {memory, temporary}
        for process in (one, other):
            process.kill()
            process.wait()
        assert left.exists()
        assert left_too.exists()

        with _directories.servers_directory() as mine:
            assert list(memory.iterdir()) == []
            assert set(temporary.iterdir()) == {
                used,
                used.with_suffix(".lock"),
                mine,
                mine.with_suffix(".lock"),
            }
            assert (used / "postgres" / "data").exists()
        assert set(temporary.iterdir()) == {used, used.with_suffix(".lock")}


def test_a_left_directory_stays_while_its_servers_are_on_their_way_out(places: tuple[Path, Path]) -> None:
    _, temporary = places
    left = temporary / "platform-servers-left"
    left.mkdir()
    left.with_suffix(".lock").touch()
    with (left / "embedded.lock").open("w") as servers:
        fcntl.flock(servers, fcntl.LOCK_EX)
        _directories._sweep()
        assert left.exists()
    _directories._sweep()
    assert list(temporary.iterdir()) == []


def test_a_lock_that_was_swept_before_it_was_taken_is_not_relied_on(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one moment in which a run is there and its lock is free: somebody else starts between the two."""
    made = []
    lock_file = tempfile.mkstemp

    def swept_once(**keywords: str) -> tuple[int, str]:
        lock, name = lock_file(**keywords)
        if not made:
            _directories._sweep()
        made.append(name)
        return lock, name

    monkeypatch.setattr(tempfile, "mkstemp", swept_once)
    with _directories.servers_directory() as directory:
        assert [f"{directory}.lock"] == made[1:]
        _directories._sweep()
        assert directory.exists()


def test_a_reserved_directory_whose_data_lie_elsewhere_is_emptied_when_these_are_too_large(
    places: tuple[Path, Path], tmp_path: Path
) -> None:
    shelter = tmp_path / "shelter"
    shelter.mkdir()
    with _directories.reserved_directory() as slot:
        slot.mkdir()
        (slot / "embedded").symlink_to(shelter)
    with _directories.reserved_directory() as again:
        assert again == slot
        assert shelter.exists()
        with (shelter / "templates").open("wb") as data:
            data.truncate(GIB)  # sparse: it takes no room
    with _directories.reserved_directory() as anew:
        assert anew == slot
        assert not shelter.exists()


# ── how much memory there is ─────────────────────────────────────────────────────────────────────


def _written(root: Path, files: dict[str, str | int]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(str(content))
    return root


@pytest.mark.parametrize(
    ("groups", "files", "left"),
    [
        ("", {}, 16),
        ("0::/", {}, 16),
        ("0::/", {"memory.max": "max", "memory.current": 9 * GIB}, 16),
        ("0::/", {"memory.max": 4 * GIB, "memory.current": GIB}, 3),
        (
            "0::/",
            {"memory.max": 4 * GIB, "memory.current": 3 * GIB, "memory.stat": f"inactive_file {GIB}"},
            2,
        ),
        ("0::/a/b", {"a/memory.max": 4 * GIB, "a/memory.current": GIB, "a/b/memory.max": "max"}, 3),
        # the path is the host's, and only the container's own group can be seen, as the topmost
        (
            "4:cpu:/x\n5:memory:/x",
            {"memory/memory.limit_in_bytes": 2 * GIB, "memory/memory.usage_in_bytes": GIB},
            1,
        ),
        (
            "5:memory:/",
            {"memory/memory.limit_in_bytes": 2**63 - 4096, "memory/memory.usage_in_bytes": GIB},
            16,
        ),
    ],
    ids=["no groups", "v2, the machine", "v2, free", "v2", "v2, cached", "v2, above", "v1", "v1, free"],
)
def test_memory_is_what_the_machine_has_and_the_container_may_take(
    tmp_path: Path, groups: str, files: dict[str, str | int], left: int
) -> None:
    proc = _written(
        tmp_path / "proc", {"meminfo": f"MemAvailable: {16 * GIB // 1024} kB", "self/cgroup": groups}
    )
    assert available_bytes(proc, _written(tmp_path / "groups", files)) == left * GIB


def test_where_the_system_does_not_tell_there_is_none(tmp_path: Path) -> None:
    assert available_bytes(tmp_path, tmp_path) == 0


def test_a_roomy_tmpfs_is_not_enough(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with a limit of its own and the host's /dev/shm."""
    memory, temporary = places
    monkeypatch.delenv("TMPDIR")
    monkeypatch.setattr(_directories, "_PLENTY_BYTES", 1)
    assert _directories._place() == memory
    monkeypatch.setattr(_directories, "available_bytes", lambda: 0)
    assert _directories._place() == temporary
