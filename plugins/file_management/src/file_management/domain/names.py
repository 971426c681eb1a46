"""What files and folders may be called."""

from __future__ import annotations

import re

from platform_core.errors import InvalidInput
from platform_core.texts import human_name

NAME_BYTES = 255
"""As file systems have it, so that what is downloaded can be saved."""


def file_name(text: str, field: str = "name") -> str:
    """
    Return what a file is called: the last part of the path that a client may have sent.

    Args:
        field: of the request, for the refusal.

    Raises:
        InvalidInput: nothing is left, or it has control characters or is too long.
    """
    return _checked(re.split(r"[/\\]", text)[-1], field)


def extensions(name: str) -> tuple[str, ...]:
    """
    Return what a name ends with, in lower case, for every system that may save it; without a dot it is all of it.

    Windows drops dots and blanks at the end, and takes what follows a colon for a stream of the file before it, where
    others (and browsers, which write another character for the colon) go by the end.
    """
    stem = name.partition(":")[0]
    readings = (name, stem) if "." in stem else (name,)
    return tuple(reading.rstrip(". ").rpartition(".")[2].lower() for reading in readings)


def folder_name(text: str, field: str = "name") -> str:
    """
    Return what a folder is called.

    Raises:
        InvalidInput: as for files, and for a path.
    """
    if re.search(r"[/\\]", text):
        raise InvalidInput.of(field, "is a path, not a name", "invalid_name")
    return _checked(text, field)


def _checked(text: str, field: str) -> str:
    name = human_name(text, field)
    if not name.strip("."):
        raise InvalidInput.of(field, "is no name", "invalid_name")
    if len(name.encode()) > NAME_BYTES:
        raise InvalidInput.of(field, f"is longer than {NAME_BYTES} bytes", "string_too_long")
    return name
