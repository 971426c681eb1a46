"""
A thread that watches the event loop: who held it up, and is it stuck for good; private to the kernel.

A loop that is held up answers nobody, whoever asks; a stuck one holds leases and connections and does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import re
import sys
import threading
import time
from collections.abc import AsyncIterator
from types import FrameType
from typing import Any, Final, NamedTuple

import structlog

from platform_core.metrics import Metrics

logger = structlog.get_logger("platform_core.watchdog")

EXIT_STUCK: Final = 70
"""What the process ends with; whoever supervises it starts another."""

LAG_SECONDS: Final = 0.1
"""A loop that is later than this is held up."""

_CHECK_SECONDS: Final = 0.05
_SHOWN_FRAMES_COUNT: Final = 4
_UNNAMED: Final = re.compile(r"Task-\d+")


@contextlib.asynccontextmanager
async def watchdog(stuck_seconds: float, metrics: Metrics, *, ends: bool = True) -> AsyncIterator[None]:
    """
    Watch the running event loop for as long as the block lasts.

    Args:
        stuck_seconds: a loop that did nothing for so long is stuck; every thread's stack is written to stderr.
        metrics: where it is counted how late the loop was, and which task it ran then.
        ends: a stuck process is ended, so that its supervisor starts another; otherwise it is only told.
    """
    watch = _Watch(asyncio.get_running_loop(), stuck_seconds, metrics, ends)
    watch.start()
    try:
        yield
    finally:
        watch.stop()


class _Suspect(NamedTuple):
    """What the loop was running when it did not get on."""

    task: str
    place: str
    was_asleep: bool
    """The thread that looked got its turn in time, so that the loop could have had it, too."""


_NOBODY: Final = _Suspect("unknown", "", was_asleep=False)


class _Watch:
    """
    The loop beats, the thread looks.

    Looks are counted, not seconds: while the whole process is suspended neither side gets on.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, stuck_seconds: float, metrics: Metrics, ends: bool
    ) -> None:
        self._loop, self._stuck_seconds, self._metrics, self._ends = loop, stuck_seconds, metrics, ends
        self._loop_thread = threading.get_ident()
        self._over = threading.Event()
        self._beats = 0
        self._due = 0.0
        self._worked = 0.0
        self._suspect: _Suspect | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._due = time.monotonic()
        self._beat()
        threading.Thread(target=self._look, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        self._over.set()
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        now, worked = time.monotonic(), time.thread_time()
        suspect, self._suspect = self._suspect, None
        late = now - self._due
        if late > LAG_SECONDS:
            # neither at work nor seen by a thread that got its turn in time: the machine had no time for either
            is_guilty = suspect is not None and (suspect.was_asleep or worked - self._worked > late / 4)
            self._complain(late, suspect if suspect is not None and is_guilty else _NOBODY)
        self._beats, self._worked = self._beats + 1, worked
        self._due = now + _CHECK_SECONDS
        self._timer = self._loop.call_later(_CHECK_SECONDS, self._beat)

    def _complain(self, seconds: float, suspect: _Suspect) -> None:
        self._metrics.loop_lag(suspect.task, seconds)
        logger.warning(
            "the event loop was held up; move what blocks into a thread (`asyncio.to_thread`) or a worker",
            task=suspect.task,
            seconds=round(seconds, 3),
            place=suspect.place,
        )

    def _look(self) -> None:
        seen, misses, looked = -1, 0, time.monotonic()
        allowed = max(2, round(self._stuck_seconds / _CHECK_SECONDS))
        while not self._over.wait(_CHECK_SECONDS):
            seen, misses = (self._beats, 0) if self._beats != seen else (seen, misses + 1)
            before, looked = looked, time.monotonic()
            is_in_time = looked - before < 2 * _CHECK_SECONDS
            if misses in (2, 3):  # later it may be at what came after
                self._suspect = self._running(was_asleep=is_in_time)
            elif misses > 3 and is_in_time and (suspect := self._suspect) is not None:
                self._suspect = suspect._replace(was_asleep=True)
            if misses == allowed + 1:
                self._tell(self._running(was_asleep=True))
                if self._ends:
                    os._exit(EXIT_STUCK)

    def _running(self, *, was_asleep: bool) -> _Suspect:
        """Tell what the loop's thread is at; it may go on while we look."""
        task = asyncio.current_task(self._loop)
        return _Suspect(_name(task) if task is not None else "a callback", self._place(), was_asleep)

    def _place(self) -> str:
        frame: FrameType | None = sys._current_frames().get(self._loop_thread)
        places: list[str] = []
        while frame is not None and len(places) < _SHOWN_FRAMES_COUNT:
            places.append(f"{frame.f_globals.get('__name__')}:{frame.f_lineno} {frame.f_code.co_name}")
            frame = frame.f_back
        return " < ".join(places)

    def _tell(self, suspect: _Suspect) -> None:
        end = "; this process ends itself" if self._ends else ""
        message = (
            f"The event loop has done nothing for {self._stuck_seconds:g} s{end}."
            f" It was at: {suspect.task}. Where it is stuck:\n"
        )
        os.write(2, message.encode())
        with contextlib.suppress(Exception):
            faulthandler.dump_traceback(file=sys.__stderr__ or 2, all_threads=True)


def _name(task: asyncio.Task[Any]) -> str:
    """Return a task's name; without one that of its coroutine, so that names stay few."""
    name = task.get_name()
    return getattr(task.get_coro(), "__qualname__", "unknown") if _UNNAMED.fullmatch(name) else name
