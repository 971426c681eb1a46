"""Cuts off a plugin's code that does not return, be it asleep or busy."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType


class PluginHung(BaseException):
    """A plugin did not return in time; not an Exception, so that a plugin's own handlers let it through."""


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """
    Interrupt the block when it takes too long, be it asleep or busy.

    On a machine that is busy with other things it may take up to three times as long. Works in the main thread, where
    Python delivers signals; elsewhere the block just runs.

    Raises:
        PluginHung: the time is over.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    began, worked = time.monotonic(), time.process_time()

    def interrupt(_signal: int, frame: FrameType | None) -> None:
        waited_seconds, worked_seconds = time.monotonic() - began, time.process_time() - worked
        if _is_only_slow(waited_seconds, worked_seconds, seconds):
            signal.setitimer(signal.ITIMER_REAL, seconds / 4)
            return
        place = f" in {frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}" if frame else ""
        raise PluginHung(f"took longer than {seconds:g} s{place}")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _is_only_slow(waited_seconds: float, worked_seconds: float, limit_seconds: float) -> bool:
    """Tell whether a block gets on, but on a machine that has little time for it: it is neither asleep nor looping."""
    is_asleep = worked_seconds < 0.05 * waited_seconds
    return not is_asleep and worked_seconds < 0.8 * limit_seconds and waited_seconds < 3 * limit_seconds
