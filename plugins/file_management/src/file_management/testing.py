"""For tests, of this plugin and of those that need files: small pictures and documents, and people who upload them."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

if TYPE_CHECKING:
    from httpx2 import AsyncClient

__all__ = ["FACTORIES", "begin_upload", "make_folder", "picture", "settings_for_tests", "upload"]


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


async def begin_upload(client: AsyncClient, size: int, name: str = "film.bin") -> str:
    """Announce an upload in parts (tus 1.0); return the address that the parts go to."""
    metadata = f"filename {base64.b64encode(name.encode()).decode()}"
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(size), "Upload-Metadata": metadata}
    answer = await client.post("/api/v1/files/uploads", headers=headers)
    assert answer.status_code == 201, answer.text  # noqa: S101  # assertions are its product
    return str(answer.headers["location"])


async def make_folder(client: AsyncClient, name: str = "Papers", **fields: str) -> dict[str, Any]:
    """Make a folder over HTTP."""
    answer = await client.post("/api/v1/folders", json={"name": name} | fields)
    assert answer.status_code == 201, answer.text  # noqa: S101  # assertions are its product
    folder: dict[str, Any] = answer.json()
    return folder


FACTORIES: Final = {
    "file_management.file": upload,
    "file_management.folder": make_folder,
    "file_management.upload": begin_upload,
}
"""What makes one of each aggregate."""
