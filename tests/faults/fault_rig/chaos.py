"""
Runs the platform's command line in a process that dies, stops or repeats itself at a named point.

    CHAOS_POINT=before_commit:2 python chaos.py worker

Points are functions of the kernel and of notification, wrapped here before the command line starts. What ships knows
nothing of it, and a test holds it to that.

CHAOS_POINT=name:n          the nth time that the point is passed the process gets what `kill -9` sends
CHAOS_POINT=name:n:stop     the same with SIGSTOP: it hangs until SIGCONT, as a process of an overloaded machine does
CHAOS_COPIES=n              every delivery is run n times at once
CHAOS_SKEW=n                the process's clock is n seconds ahead
"""

from __future__ import annotations

import asyncio
import datetime
import functools
import importlib
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

POINTS = {
    "before_handler": ("platform_core._bus", "Bus", "deliver", "before"),
    "before_commit": ("platform_core._uow", "SqlUnitOfWork", "commit", "before"),
    "after_commit": ("platform_core._uow", "SqlUnitOfWork", "commit", "after"),
    "after_mail": ("notification.infrastructure.smtp", "SmtpChannel", "send", "after"),
}


def arm(point: str) -> None:
    """Make this process do something terrible at `point`."""
    name, nth, *action = point.split(":")
    number = signal.SIGSTOP if action == ["stop"] else signal.SIGKILL
    module, owner, method, moment = POINTS[name]
    passings = itertools.count(1)

    def strike() -> None:
        if next(passings) == int(nth):
            os.write(1, f"chaos: {name} for the {nth}. time\n".encode())
            os.kill(os.getpid(), number)

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            if moment == "before":
                strike()
            result = await original(*args, **kwargs)
            if moment == "after":
                strike()
            return result

        return wrapped

    _replace(module, owner, method, wrap)


def copy_deliveries(count: int) -> None:
    """Make this process run each delivery `count` times at once; what the first copy raises counts."""

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            copies = (original(*args, **kwargs) for _ in range(count))
            outcomes = await asyncio.gather(*copies, return_exceptions=True)
            if all(isinstance(outcome, BaseException) for outcome in outcomes):
                raise outcomes[0]

        return wrapped

    _replace("platform_core._bus", "Bus", "deliver", wrap)


def skew_clock(seconds: float) -> None:
    """
    Make this process believe that it is later than it is.

    The kernel's clock and `time.time` are what the platform asks; what the C library tells others stays as it is.
    """

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: original(*args) + datetime.timedelta(seconds=seconds)

    _replace("platform_core.clock", "SystemClock", "now", wrap)
    right_time = time.time
    time.time = lambda: right_time() + seconds


def _replace(module: str, owner: str, method: str, wrap: Callable[[Callable[..., Any]], Any]) -> None:
    home = getattr(importlib.import_module(module), owner)
    setattr(home, method, wrap(getattr(home, method)))


if __name__ == "__main__":
    from platform_core.cli import main

    if "CHAOS_POINT" in os.environ:
        arm(os.environ["CHAOS_POINT"])
    if "CHAOS_COPIES" in os.environ:
        copy_deliveries(int(os.environ["CHAOS_COPIES"]))
    if "CHAOS_SKEW" in os.environ:
        skew_clock(float(os.environ["CHAOS_SKEW"]))
    main(sys.argv[1:])
