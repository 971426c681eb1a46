"""A real clamd with one signature of its own: what it finds, what it calls clean, and its limit. Fault B19, row 62."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from file_management.hookspecs import CLEAN, ScannerAway, Verdict
from file_management.infrastructure.clamd import ClamdScanner
from platform_core.storage import FileStorage
from platform_core.testing import run_process

MARKER = b"a-marker-that-only-this-test-calls-a-virus"
PROGRAM = shutil.which("clamd") or "/usr/sbin/clamd"

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not Path(PROGRAM).is_file(), reason="Debian: apt-get install clamav-daemon"),
]


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("clamd")
    (folder / "signatures").mkdir()
    (folder / "signatures/own.ndb").write_text(f"Own.Marker:0:*:{MARKER.hex()}\n")
    socket = folder / "clamd.sock"
    (folder / "clamd.conf").write_text(
        f"LocalSocket {socket}\nDatabaseDirectory {folder}/signatures\nForeground yes\nStreamMaxLength 3M\n"
        "LogVerbose yes\nUser root\n"
    )
    command = [PROGRAM, f"--config-file={folder}/clamd.conf"]
    with run_process(command, ready="Self checking|Listening daemon", timeout_seconds=60):
        yield f"unix://{socket}"


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[FileStorage]:
    made = FileStorage(f"file://{tmp_path}/files", tmp_path)
    yield made
    made.close()


async def verdict(url: str, storage: FileStorage, content: bytes) -> Verdict:
    async with storage.draft() as draft:
        await draft.write(content)
        await draft.finish()
        return await ClamdScanner(url).scan(draft)


async def test_row_62_what_it_knows_is_found_plain_and_zipped(clamd: str, storage: FileStorage) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.txt", MARKER)
    for content in (MARKER, b"x" * 100_000 + MARKER, packed.getvalue()):
        found = await verdict(clamd, storage, content)
        assert (found.outcome, found.detail) == ("infected", "Own.Marker.UNOFFICIAL")


async def test_what_it_calls_clean_is_clean(clamd: str, storage: FileStorage) -> None:
    for content in (b"", b"hello", bytes(2_500_000)):
        assert await verdict(clamd, storage, content) == CLEAN


async def test_b19_above_its_limit_nothing_is_clean(clamd: str, storage: FileStorage) -> None:
    with pytest.raises(ScannerAway):
        await verdict(clamd, storage, bytes(8_000_000))


async def test_it_tells_its_version(clamd: str) -> None:
    assert (await ClamdScanner(clamd).check() or "").startswith("ClamAV ")
