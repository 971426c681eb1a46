"""Files to try things with; the seed goes through a command, and changes nothing when it runs again."""

from __future__ import annotations

import asyncio
import io
from typing import Final

from file_management.application.files import EnsureFile
from platform_core.declarations import Seed, Tier
from platform_core.ports import Execute, Storage
from user_management import UserDirectory

_SKY: Final = ((24, 78, 119), (246, 189, 96))


def _sunset(width: int = 1600, height: int = 900) -> bytes:
    """Paint a picture: night above, a warm horizon below."""
    from PIL import Image  # every process imports its seeds

    column = Image.new("RGB", (1, height))
    for y in range(height):
        share = y / height
        above, below = _SKY
        column.putpixel((0, y), tuple(round(a + (b - a) * share) for a, b in zip(above, below, strict=True)))
    out = io.BytesIO()
    column.resize((width, height)).save(out, "JPEG", quality=85)
    return out.getvalue()


_NOTES: Final = "# Notes\n\nWhat lies here was made by the development seeds.\n"
_FIGURES: Final = "month,visitors\nJanuary,1204\nFebruary,1377\nMarch,1590\n"


async def make_files(execute: Execute, directory: UserDirectory, storage: Storage) -> None:
    """The people that user management invents for development have a picture, notes and figures each."""
    contents = {
        "sunset.jpg": await asyncio.to_thread(_sunset),
        "notes.md": _NOTES.encode(),
        "figures.csv": _FIGURES.encode(),
    }
    people = await directory.find_by_usernames(["anna", "ben", "clara", "admin"])
    for person in people.values():
        for name, data in contents.items():
            async with storage.draft() as content:
                await content.write(data)
                await content.finish()
                await execute(EnsureFile(owner_id=person.id, name=name, content=content))


SEEDS: Final = (Seed(name="files", tier=Tier.DEVELOPMENT, run=make_files),)
