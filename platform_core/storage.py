"""Where files are kept: one fsspec file system named by `STORAGE_URL`, a local folder or an S3 bucket."""

from __future__ import annotations

import asyncio
from typing import Any

import fsspec

from platform_core.errors import OperationError


class Storage:
    """
    The place where files are kept, opened when it is first needed.

    Args:
        url: `file:///var/lib/platform/files`, `s3://bucket/prefix`; set by the deployer, never by a client.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._opened: tuple[Any, str] | None = None

    async def ping(self) -> None:
        """
        Look at the root, in a thread because file systems block.

        Raises:
            OperationError: it cannot be reached or does not exist.
        """
        await asyncio.to_thread(self._look)

    def _open(self) -> tuple[Any, str]:
        if self._opened is None:
            # a listing cache would hide what other processes write
            options = {} if self._url.startswith("file:") else {"use_listings_cache": False}
            file_system, root = fsspec.core.url_to_fs(self._url, **options)
            if self._url.startswith("file:"):
                file_system.makedirs(root, exist_ok=True)
            self._opened = (file_system, root)
        return self._opened

    def _look(self) -> None:
        try:
            file_system, root = self._open()
            found = file_system.exists(root)
        except (OSError, ImportError, ValueError) as error:
            raise OperationError(f"the storage cannot be reached: {type(error).__name__}") from error
        if not found:
            raise OperationError("the storage's root does not exist")
