"""
The guardian's end: whether its owner is still there.
"""

from __future__ import annotations

import os
import select
import signal


class OwnerGone(Exception):
    """The owner ended, or somebody asked the guardian to end, during the start."""


class Owner:
    """
    The process that everything is done for, seen through the pipe on standard input.

    Args:
        pid: a second opinion: a process forked behind Python's back may hold the pipe open.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._asked_to_stop = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._asked_to_stop = True

    def is_gone(self, *, within_seconds: float) -> bool:
        """Wait that long, less if the owner goes meanwhile."""
        readable, _, _ = select.select([0], [], [], within_seconds)
        return bool(readable) or self._asked_to_stop or os.getppid() != self._pid

    def wait(self, seconds: float) -> None:
        """
        Sleep.

        Raises:
            OwnerGone: there is nobody any more to go on for.
        """
        if self.is_gone(within_seconds=seconds):
            raise OwnerGone
