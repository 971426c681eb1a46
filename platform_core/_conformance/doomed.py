"""
A worker that dies at the worst moment: when the handler that a variable names is through, and nothing is stored yet.

Run as a script in place of the command line, by the check `kills`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from typing import Any, Final

VARIABLE: Final = "PLATFORM_CONFORMANCE_HANDLER"
"""Names the handler with whose delivery the process dies; set by nobody but the check."""


def doom(handler: str) -> None:
    """Let this process be killed as `kill -9` does, instead of the commit of that handler's delivery."""
    from platform_core._bus import Bus
    from platform_core._outbox import Delivery
    from platform_core._uow import SqlUnitOfWork

    deliver, commit = Bus.deliver, SqlUnitOfWork.commit
    chosen: list[bool] = []

    async def delivering(self: Bus, delivery: Delivery) -> None:
        if delivery.handler == handler:
            chosen.append(True)
        await deliver(self, delivery)

    async def dying(self: SqlUnitOfWork, *arguments: Any, **options: Any) -> Any:
        if chosen:
            os.kill(os.getpid(), signal.SIGKILL)
        return await commit(self, *arguments, **options)

    Bus.deliver = delivering  # type: ignore[method-assign]  # in this process, which is about to die
    SqlUnitOfWork.commit = dying  # type: ignore[method-assign]  # the same


def main(environment: Mapping[str, str], arguments: list[str]) -> None:
    """Be the command line, for as long as it lasts."""
    from platform_core.cli import main as command_line

    doom(environment[VARIABLE])
    command_line(arguments)


if __name__ == "__main__":
    from platform_core._environment import environment

    main(environment(), sys.argv[1:])
