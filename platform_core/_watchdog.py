"""
A thread that ends a process whose event loop is stuck; private to the kernel.

Such a process holds leases and connections and does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import sys
import threading
from collections.abc import AsyncIterator
from typing import Final

EXIT_STUCK: Final = 70
"""What the process ends with; whoever supervises it starts another."""

_CHECK_SECONDS: Final = 0.5


@contextlib.asynccontextmanager
async def watchdog(stuck_seconds: float) -> AsyncIterator[None]:
    """
    Watch the running event loop for as long as the block lasts.

    Looks are counted, not seconds: while the whole process is suspended neither side gets on.

    Args:
        stuck_seconds: a loop that did nothing for so long is stuck; every thread's stack is written to stderr.
    """
    beats = 0
    over = threading.Event()

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(_CHECK_SECONDS)

    def watch() -> None:
        seen, misses = -1, 0
        allowed = max(2, round(stuck_seconds / _CHECK_SECONDS))
        while not over.wait(_CHECK_SECONDS):
            seen, misses = (beats, 0) if beats != seen else (seen, misses + 1)
            if misses > allowed:
                _end(stuck_seconds)

    beating = asyncio.create_task(beat(), name="watchdog")
    threading.Thread(target=watch, name="watchdog", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        beating.cancel()


def _end(stuck_seconds: float) -> None:
    message = f"The event loop has done nothing for {stuck_seconds:g} s; this process ends itself. Where it is stuck:\n"
    os.write(2, message.encode())
    with contextlib.suppress(Exception):
        faulthandler.dump_traceback(file=sys.__stderr__ or 2, all_threads=True)
    os._exit(EXIT_STUCK)
