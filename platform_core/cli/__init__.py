"""
The command line: `platform GROUP COMMAND`, see `platform --help`.

Commands are imported when they are called for, and so are those of plugins: help has to be there at once. Modules of
this package import nothing heavy at their top; each prints what it found and leaves the work to the kernel.
"""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from platform_core.app import Kernel

__all__ = ["main", "with_kernel"]

T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Run one command line and end the process: 0 done, 1 failed, 2 wrong usage.

    Args:
        arguments: without the program's name; those of the process by default.

    Raises:
        SystemExit: always.
    """
    from platform_core.cli._errors import explained
    from platform_core.cli._root import root

    # importing makes a million objects that stay: looking through them again and again costs a fifth of a start
    gc.set_threshold(100_000, 20, 50)
    with explained():
        given = list(arguments) if arguments is not None else None
        code = root().main(given, "platform", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)


def with_kernel(work: Callable[[Kernel], Awaitable[T]]) -> T:
    """
    Run something on the started platform of this environment; for commands, a plugin's too.

    It acts as the platform itself: what it executes is audited as `command line`. In development the database and Redis
    of `platform dev` are used, or started for as long as it takes.

    Args:
        work: given the kernel: `lambda kernel: kernel.bus.execute(RegisterUser(…))`.

    Raises:
        StartupFailed: everything that is wrong with the settings or the installed set.
    """
    from platform_core.cli import _session

    return _session.with_kernel(work)
