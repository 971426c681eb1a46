"""
Runs the platform's command line in a process that dies, as by `kill -9`, at one step of a purchase.

    CRASH_AT=orders.take_payment:inside python crashing.py serve --port 0

before   the command is about to run
inside   its handler has done everything, the gateway included, and nothing is stored
after    it is stored, and nobody was told
"""

from __future__ import annotations

import contextvars
import os
import signal
import sys
from typing import Any

from platform_core._bus import Bus
from platform_core._uow import SqlUnitOfWork
from platform_core.cli import main

_running: contextvars.ContextVar[str] = contextvars.ContextVar("command", default="")
_command, _, _moment = os.environ["CRASH_AT"].partition(":")
_execute, _commit = Bus.execute, SqlUnitOfWork.commit


def die_if(moment: str) -> None:
    if moment == _moment and _running.get() == _command:
        os.kill(os.getpid(), signal.SIGKILL)


async def execute(self: Bus, command: Any, *args: Any, **options: Any) -> Any:
    token = _running.set(command.wire_name)
    try:
        die_if("before")
        return await _execute(self, command, *args, **options)
    finally:
        _running.reset(token)


async def commit(self: SqlUnitOfWork) -> Any:
    die_if("inside")
    made = await _commit(self)
    die_if("after")
    return made


if __name__ == "__main__":
    Bus.execute = execute  # type: ignore[method-assign]  # what ships knows nothing of crashes
    SqlUnitOfWork.commit = commit  # type: ignore[method-assign]  # as above
    main(sys.argv[1:])
