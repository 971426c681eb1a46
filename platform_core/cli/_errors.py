"""What people see when a command fails: what, why, what to do, in one paragraph; a traceback only on request."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Any, Final

import typer

FAILED: Final = 1

_DEBUG: list[bool] = []
"""One entry once `--debug` was given: errors are shown after the context of the command line is gone."""


def show_tracebacks() -> None:
    """Show where errors come from, for the rest of this process."""
    _DEBUG.append(True)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """
    Turn whatever a command raises into a message and an exit code.

    Raises:
        SystemExit: when the block raised.
    """
    try:
        yield
    except SystemExit:
        raise
    except BrokenPipeError:  # `platform … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except (KeyboardInterrupt, typer.Abort):
        _say("Interrupted.")
        sys.exit(FAILED)
    except BaseException as error:  # noqa: BLE001  # this is where every error becomes a message
        if _DEBUG and not isinstance(error, typer.TyperException):
            traceback.print_exception(error)
        _say(message(error))
        sys.exit(error.exit_code if isinstance(error, typer.TyperException) else FAILED)


def message(error: BaseException) -> str:
    """Return one readable paragraph about an error, or a list where there are several."""
    from platform_core.errors import PlatformError, StartupFailed

    if isinstance(error, typer.TyperException):
        return _usage(error)
    if isinstance(error, StartupFailed):
        return f"Error: {error}"
    if isinstance(error, PlatformError):
        return f"Error: {error.message}"
    if isinstance(error, BaseExceptionGroup):
        return "\n".join(message(part) for part in error.exceptions)
    if advice := _known(error):
        return f"Error: {advice}"
    hint = "Run it again with --debug for where it comes from." if not _DEBUG else ""
    # the first line only: what follows in messages of SQLAlchemy is SQL with its values
    said = str(error).strip().partition("\n")[0]
    return f"Error: something unexpected happened: {type(error).__name__}: {said}. {hint}".rstrip()


def _usage(error: typer.TyperException) -> str:
    context: Any = getattr(error, "ctx", None)
    told = f"Error: {error.format_message()}"
    return (
        f"{context.get_usage()}\n{told}\nTry '{context.command_path} --help'."
        if context is not None
        else told
    )


def _known(error: BaseException) -> str | None:
    """Say what is behind errors of libraries that operators meet."""
    kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__}
    said = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
    if kinds & {"psycopg.UndefinedTable", "psycopg.InvalidSchemaName"} or _is_missing_table(error):
        return f"The database is not migrated yet ({said}). Run: platform db upgrade"
    if kinds & {"psycopg.OperationalError", "sqlalchemy.OperationalError"}:
        return f"The database does not answer: {said}. Check DATABASE_URL and that PostgreSQL is running."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return None


def _is_missing_table(error: BaseException) -> bool:
    return type(getattr(error, "orig", None)).__name__ in ("UndefinedTable", "InvalidSchemaName")


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    red = sys.stderr.isatty() and text.startswith("Error:")
    typer.secho(text, err=True, fg="red" if red else None)
