"""A scanner that needs nothing: knows the EICAR test file, looks into archives, refuses those made to do harm."""

from __future__ import annotations

import asyncio
import logging
import os
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, Final

from file_management.hookspecs import CLEAN, Verdict
from platform_core.ports import Draft
from platform_core.settings import KernelSettings

_log = logging.getLogger(__name__)

_EICAR: Final = bytes.fromhex(
    "58354f2150254041505b345c505a58353428505e2937434329377d244549434152"  # pragma: allowlist secret
    "2d5354414e444152442d414e544956495255532d544553542d46494c452124482b482a"  # pragma: allowlist secret
)
"""The test file (eicar.org) in hexadecimal, so that no scanner takes this one for it."""

_DEPTH: Final = 3
_ENTRIES_COUNT: Final = 10_000
_NESTED_BYTES: Final = 256 * 1024 * 1024
_DIRECTORY_BYTES: Final = 4 * 1024 * 1024
_TAIL_BYTES: Final = 22 + 65_535
"""Where the end record of an archive lies, its longest comment included (APPNOTE 4.3.16)."""

_RATIO: Final = 200
"""Deflate reaches 1,032 on zeros; documents and photos stay below 50."""

_FREE_BYTES: Final = 10 * 1024 * 1024
"""What is small altogether may be as repetitive as it likes."""

_ZIP: Final = b"PK\x03\x04"
_PIECE_BYTES: Final = 256 * 1024


class SignatureScanner:
    """
    Finds the EICAR test file, in archives too; knows no real virus, which is what `/health/ready` says of it.

    Archives are opened up to three levels, whatever other scanners do: a bomb is none of the things that they know.
    """

    def __init__(self, settings: KernelSettings) -> None:
        self._is_alone = settings.clamd_url is None
        if self._is_alone and settings.is_production:
            _log.warning("uploads are scanned for no real virus: PLATFORM_CLAMD_URL is not set")

    async def scan(self, content: Draft) -> Verdict:
        return await asyncio.to_thread(_scan, content.path)

    async def check(self) -> str | None:
        return "signatures only, no clamd is configured" if self._is_alone else None


class _Unsafe(Exception):
    pass


class _Infected(Exception):
    pass


def _scan(path: Path) -> Verdict:
    try:
        with path.open("rb") as source:
            _Budget(path.stat().st_size).look(source, depth=0)
    except _Infected as found:
        return Verdict("infected", str(found))
    except _Unsafe as reason:
        return Verdict("unsafe", str(reason))
    return CLEAN


class _Budget:
    """What one content may cost, whatever is nested in it."""

    def __init__(self, size: int) -> None:
        self._most_bytes = max(_FREE_BYTES, size * _RATIO)
        self._entries_count = 0
        self._unpacked_bytes = 0
        self._nested_bytes = 0

    def look(self, source: IO[bytes], *, depth: int) -> None:
        """Look at one content, and into it where it is an archive."""
        head = source.read(256)
        if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_EICAR):
            raise _Infected("EICAR-Test-File")
        if not head.startswith(_ZIP):
            return
        if depth > _DEPTH:
            raise _Unsafe(f"archives are nested more than {_DEPTH} deep")
        self._open(source, depth)

    def _open(self, source: IO[bytes], depth: int) -> None:
        _check_directory(source)
        try:
            with zipfile.ZipFile(source) as archive:
                for entry in archive.infolist():
                    self._count_entry()
                    if not entry.is_dir():
                        self._look_into(archive, entry, depth)
        except (
            zipfile.BadZipFile,
            zlib.error,
            struct.error,
            NotImplementedError,
            OSError,
            EOFError,
            ValueError,
        ):
            return  # what nobody can unpack does no harm unpacked; clamd looks at it as bytes

    def _look_into(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, depth: int) -> None:
        if entry.flag_bits & 0x1:
            return  # encrypted: nobody can look, nor unpack it unawares
        with archive.open(entry) as unpacked, tempfile.TemporaryFile() as nested:
            piece = unpacked.read(_PIECE_BYTES)
            is_archive = piece.startswith(_ZIP)
            nested.write(piece)
            while piece:
                self._count_bytes(len(piece))
                piece = unpacked.read(_PIECE_BYTES)
                if is_archive:  # of anything else the beginning is enough
                    self._keep(nested, piece)
            nested.seek(0)
            self.look(nested, depth=depth + 1)

    def _count_entry(self) -> None:
        self._entries_count += 1
        if self._entries_count > _ENTRIES_COUNT:
            raise _Unsafe(f"it holds more than {_ENTRIES_COUNT} entries")

    def _count_bytes(self, count: int) -> None:
        self._unpacked_bytes += count
        if self._unpacked_bytes > self._most_bytes:
            raise _Unsafe("it is far larger inside than outside")

    def _keep(self, nested: IO[bytes], piece: bytes) -> None:
        self._nested_bytes += len(piece)
        if self._nested_bytes > _NESTED_BYTES:
            raise _Unsafe("the archives in it are too large to look into")
        nested.write(piece)


def _check_directory(source: IO[bytes]) -> None:
    """Look at the size of an archive's directory before it is read as a whole into memory."""
    end = source.seek(0, os.SEEK_END)
    source.seek(max(0, end - _TAIL_BYTES))
    tail = source.read()
    record = tail[tail.rfind(b"PK\x05\x06") :][:22]
    source.seek(0)
    if len(record) < 22:
        return
    entries_count, directory_bytes = struct.unpack("<10xHI6x", record)
    if entries_count > _ENTRIES_COUNT or directory_bytes > _DIRECTORY_BYTES:
        raise _Unsafe(f"it holds more than {_ENTRIES_COUNT} entries")
