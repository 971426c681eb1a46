"""
The platform's command line in a process that dies, as by `kill -9`, at one moment of a command; for sagas above all.

    with run_platform("worker", **doomed_to("trips.book_flight", "inside", p)) as worker:
        assert await asyncio.to_thread(worker.wait) == KILLED

before   the command is about to run
inside   its handler has done everything, whatever it asked of others included, and nothing is stored
after    it is stored, and nobody was told
"""

from __future__ import annotations

import contextvars
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from platform_core.testing import RunningPlatform

__all__ = ["KILLED", "MOMENTS", "doomed_to"]

KILLED: Final = -signal.SIGKILL
"""The exit code of a process that died so."""

MOMENTS: Final = ("before", "inside", "after")


def doomed_to(command: str, moment: str, p: RunningPlatform, *, time: int = 1) -> dict[str, Any]:
    """
    Return the options of `run_platform` with which a process of this platform dies.

    Args:
        command: its wire name.
        moment: one of `MOMENTS`.
        time: of how many such commands in that process it is the last.
    """
    return {
        "env": {**p.environment, "CRASH_AT": f"{command}:{moment}:{time}"},
        "program": Path(__file__),
    }


def _doom(command: str, moment: str, time: int) -> None:
    """Make this process die as `doomed_to` says."""
    from platform_core._bus import Bus
    from platform_core._uow import SqlUnitOfWork

    running = contextvars.ContextVar("running", default="")
    execute, commit = Bus.execute, SqlUnitOfWork.commit
    left = {"before": time, "inside": time, "after": time}

    def come_to(here: str) -> None:
        if running.get() != command:
            return
        left[here] -= 1
        if here == moment and left[here] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    async def doomed_execute(self: Bus, message: Any, *args: Any, **options: Any) -> Any:
        token = running.set(message.wire_name)
        try:
            come_to("before")
            return await execute(self, message, *args, **options)
        finally:
            running.reset(token)

    async def doomed_commit(self: SqlUnitOfWork) -> Any:
        come_to("inside")
        made = await commit(self)
        come_to("after")
        return made

    Bus.execute = doomed_execute  # type: ignore[assignment, method-assign]  # what ships knows nothing of crashes
    SqlUnitOfWork.commit = doomed_commit  # type: ignore[method-assign]  # as above


if __name__ == "__main__":
    from platform_core.cli import main

    _command, _moment, _time = os.environ["CRASH_AT"].split(":")
    _doom(_command, _moment, int(_time))
    main(sys.argv[1:])
