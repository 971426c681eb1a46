"""
The process's environment, as everything else gets to see it: the one place that looks at it; private to the kernel.

Imports nothing heavy, because `platform --help` wants to know which modules are meant, too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from platform_core._pins import narrowed
from platform_core.errors import OperationError


def environment(dotenv: Path | None = None) -> dict[str, str]:
    """
    Return the environment, completed from a `.env` file where one is given.

    Args:
        dotenv: read in development only; what the environment already has is not overwritten.
    """
    values: dict[str, str] = {}
    if dotenv is not None and dotenv.is_file():
        from dotenv import dotenv_values

        values.update({key: value for key, value in dotenv_values(dotenv).items() if value is not None})
    return values | dict(os.environ)


def is_development(source: Mapping[str, str]) -> bool:
    """
    Tell whether commands may use the development platform of a data directory.

    They may when `PLATFORM_ENV` says development, or when nothing says which platform is meant at all.
    """
    if named := source.get("PLATFORM_ENV"):
        return named == "development"
    return not (source.get("DATABASE_URL") or source.get("DATABASE_URL_FILE"))


def listed(text: str) -> tuple[str, ...]:
    """Return the parts of a list: by commas, as in the environment, or lines, as in a file, where # begins a remark."""
    lines = (line.partition("#")[0] for line in text.splitlines())
    return tuple(part.strip() for line in lines for part in line.split(",") if part.strip())


def listed_in(path: Path) -> tuple[str, ...]:
    """
    Return the parts of a list that is in a file.

    Raises:
        ValueError: there are none; whoever names a file means a choice, and not "everything".
    """
    parts = listed(path.read_text(encoding="utf-8"))
    if not parts and _is_printed_to(path):
        raise ValueError(
            f"{path} names nothing, because this command prints into it: the shell has emptied it before it was read."
            f" Bring it back, then print into another file and rename that: … > {path}.new && mv {path}.new {path}"
        )
    if not parts:
        raise ValueError(f"{path} names nothing; write an entry into it, or leave the variable out")
    return parts


def _is_printed_to(path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(1))
    except OSError:  # there is no standard output
        return False


def chosen_modules(source: Mapping[str, str]) -> tuple[str, ...]:
    """
    Return the entries of `PLATFORM_MODULES`, of its file, or those of the file that it names (see `_pins`).

    Returns: empty means every installed module.

    Raises:
        OperationError: the file names none, or lacks one that `PLATFORM_MODULES` names.
    """
    chosen = listed(source.get("PLATFORM_MODULES", ""))
    path = source.get("PLATFORM_MODULES_FILE")
    if not (path and Path(path).is_file()):
        return chosen
    try:
        frozen = listed_in(Path(path))
    except ValueError as error:
        raise OperationError(f"PLATFORM_MODULES_FILE: {error}") from None
    try:
        return narrowed(frozen, chosen)
    except ValueError as error:
        raise OperationError(f"PLATFORM_MODULES {error}") from None
