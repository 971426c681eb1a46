"""Which types of content are taken, and which names go with them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from file_management.domain.errors import TypeNotAllowed
from file_management.domain.names import extensions

OCTETS = "application/octet-stream"

_PICTURES = frozenset(("png", "jpg", "jpeg", "gif", "webp", "bmp", "tif", "tiff", "ico", "heic", "avif"))
_TOLD_BY_BYTES = ("image/", "video/", "audio/", "font/")


@dataclass(frozen=True)
class TypePolicy:
    """
    Which types may be uploaded.

    Attributes:
        allowed: patterns such as `image/*`; none means everything that is not refused.
        refused: patterns; they count more.
    """

    allowed: tuple[str, ...]
    refused: tuple[str, ...]

    def check(self, content_type: str, name: str) -> None:
        """
        Insist that content of this type may be kept under this name.

        Raises:
            TypeNotAllowed: it may not, or is called a picture and is something else that a program might run.
        """
        if _fits(content_type, self.refused) or (self.allowed and not _fits(content_type, self.allowed)):
            raise TypeNotAllowed(f"Files of the type {content_type} are not taken here.")
        # drawings are text that may run
        is_picture = content_type.startswith(_TOLD_BY_BYTES) and content_type != "image/svg+xml"
        if is_called_picture(name) and not is_picture:
            raise TypeNotAllowed(f"It is called a picture, but its content is {content_type}.")


def is_called_picture(name: str) -> bool:
    """Tell whether a name promises a picture."""
    return not _PICTURES.isdisjoint(extensions(name))


def _fits(content_type: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(content_type, pattern) for pattern in patterns)
