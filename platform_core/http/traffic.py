"""How many requests a process is answering, and whether it takes more: the one place that knows of draining."""

from __future__ import annotations

import asyncio
import contextlib

__all__ = ["Traffic"]


class Traffic:
    """
    The requests of this process, and whether it takes more.

    Attributes:
        is_draining: set when the process is told to stop: new requests get 503, and every answer `Connection: close`.
        in_flight_count: requests that are being answered.
    """

    def __init__(self) -> None:
        self.is_draining = False
        self.in_flight_count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def arrived(self) -> None:
        """Count a request in."""
        self.in_flight_count += 1
        self._idle.clear()

    def left(self) -> None:
        """Count a request out."""
        self.in_flight_count -= 1
        if self.in_flight_count == 0:
            self._idle.set()

    async def drain(self, grace_seconds: float) -> int:
        """
        Refuse new requests and wait for those in flight.

        Returns: how many were still running after `grace_seconds`.
        """
        self.is_draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._idle.wait()
        return self.in_flight_count
