"""For tests, of this plugin and of those that need files: small pictures and documents, and people who upload them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from httpx2 import AsyncClient

__all__ = ["picture", "settings_for_tests", "upload"]


def settings_for_tests() -> Mapping[str, str]:
    """Return what this plugin needs to start under test: nothing."""
    return {}


def picture(
    width: int = 800, height: int = 600, *, kind: str = "JPEG", color: str = "teal", **options: Any
) -> bytes:
    """Make a picture of one color; `options` as Pillow's `save` takes them."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), color).save(out, kind, **options)
    return out.getvalue()


async def upload(
    client: AsyncClient, name: str = "notes.txt", content: bytes = b"hello", **fields: str
) -> dict[str, Any]:
    """Upload a file over HTTP and return it; fails unless it was taken."""
    answer = await client.post("/api/v1/files/upload", files={"file": (name, content)}, data=fields)
    assert answer.status_code in (201, 202), answer.text  # noqa: S101  # assertions are its product
    file: dict[str, Any] = answer.json()
    return file
