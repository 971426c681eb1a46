"""Thumbnails: made of what people upload by a program of their own, and of those the sizes that are asked for."""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from file_management.hookspecs import THUMBNAIL, CannotProcess
from file_management.settings import FileManagementSettings
from platform_core.errors import OperationError
from platform_core.ports import Draft

LONGEST_SIDE: Final = 512
WANTED: Final = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp", "image/bmp", "image/tiff"))

_PROGRAM: Final = Path(__file__).with_name("thumbnailer.py")
_UNUSABLE: Final = 3
_AT_ONCE_COUNT: Final = 2


class Thumbnails:
    """Starts a process for each picture; a picture that makes it fail costs that process, and seconds."""

    def __init__(self, settings: FileManagementSettings) -> None:
        self._settings = settings
        self._places = asyncio.Semaphore(_AT_ONCE_COUNT)

    async def process(self, content: Draft) -> Mapping[str, bytes]:
        async with self._places:
            return {THUMBNAIL: await self._make(content.path)}

    async def _make(self, path: Path) -> bytes:
        settings = self._settings
        limits = (
            settings.thumbnail_max_pixels,
            LONGEST_SIDE,
            settings.thumbnail_memory_bytes,
            int(settings.thumbnail_timeout_seconds) + 1,
        )
        source = await asyncio.to_thread(path.open, "rb")
        with source:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                str(_PROGRAM),
                *map(str, limits),
                stdin=source,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={},
                start_new_session=True,  # Ctrl-C is for us, who end in order; it would reach our whole group
            )
        try:
            async with asyncio.timeout(settings.thumbnail_timeout_seconds):
                picture, said = await process.communicate()
        except TimeoutError:
            raise CannotProcess("rejected: takes too long") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if process.returncode == _UNUSABLE:
            raise CannotProcess(f"rejected: {said.decode('ascii', 'replace')[:200]}")
        if process.returncode is None or process.returncode < 0:
            raise CannotProcess("rejected: the picture crashes what reads it")
        if process.returncode or not picture:
            raise OperationError(f"no thumbnail was made, exit code {process.returncode}")
        return picture


async def resized(picture: bytes, side: int) -> bytes:
    """Return a thumbnail of ours with a longest side of at most `side`."""
    return picture if side >= LONGEST_SIDE else await asyncio.to_thread(_resized, picture, side)


def _resized(picture: bytes, side: int) -> bytes:
    from PIL import Image  # not before a process has a picture: most never have, and all start

    with Image.open(io.BytesIO(picture), formats=["WEBP"]) as image:
        if max(image.size) <= side:
            return picture
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        image.save(out, "WEBP", quality=80)
        return out.getvalue()
