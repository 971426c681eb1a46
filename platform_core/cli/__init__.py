"""
The command line: `platform GROUP COMMAND`, see `platform --help`.

Commands are imported when they are called for, and so are those of plugins: help has to be there at once. Modules of
this package import nothing heavy at their top; each prints what it found and leaves the work to the kernel.
"""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from platform_core.app import Kernel
    from platform_core.deprecations import Deprecated

__all__ = ["deprecated_option", "main", "with_kernel"]

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


def deprecated_option(deprecation: Deprecated, *names: str, help: str, **options: Any) -> Any:
    """Return a Typer option that says so in its help, and warns on stderr when it is given."""
    import typer

    from platform_core.deprecations import mark_deprecated

    def warn(context: typer.Context, parameter: typer.CallbackParam, value: Any) -> Any:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            typer.echo(f"platform: the option {names[0]} is {deprecation}", err=True)
        return value

    # Typer looks them up by name in this module, which does not import it
    warn.__annotations__ = {"context": typer.Context, "parameter": typer.CallbackParam, "value": Any}
    mark_deprecated(warn, deprecation)
    return typer.Option(*names, help=f"{help} ({deprecation})", callback=warn, **options)


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
