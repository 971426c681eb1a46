"""Waiting for what will be so; private to the test kit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any


async def eventually(
    done: Callable[[], Awaitable[Any]], *, within_seconds: float = 30, every_seconds: float = 0.05
) -> float:
    """
    Wait until something is true and return the seconds that took.

    Example:
        await eventually(lambda: all_are_delivered(rig), within_seconds=5)

    Raises:
        AssertionError: the time is over.
    """
    started = time.monotonic()
    while not await done():
        waited = time.monotonic() - started
        assert waited < within_seconds, f"{getattr(done, '__name__', done)} is not so after {waited:.1f} s"
        await asyncio.sleep(every_seconds)
    return time.monotonic() - started
