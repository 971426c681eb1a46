"""What content is, told by its first bytes; what the client says counts for nothing."""

from __future__ import annotations

import mimetypes
import re
from typing import Final

import filetype

from file_management.domain import OCTETS

_PROGRAMS: Final = (
    (b"MZ", "executable/vnd.microsoft.portable-executable"),
    (b"\x7fELF", "executable/elf"),
    (b"\xfe\xed\xfa\xce", "executable/mach-o"),
    (b"\xfe\xed\xfa\xcf", "executable/mach-o"),
    (b"\xce\xfa\xed\xfe", "executable/mach-o"),
    (b"\xcf\xfa\xed\xfe", "executable/mach-o"),
    (b"\xca\xfe\xba\xbe", "executable/mach-o"),  # and Java classes
    (b"dex\n", "executable/dalvik"),
    (b"L\x00\x00\x00\x01\x14\x02\x00", "executable/shortcut"),
    (b"#!", "executable/script"),
)
"""How programs, and scripts that name their interpreter, begin."""

_SCRIPT_NAMES: Final = frozenset(
    (
        "bat",
        "cmd",
        "com",
        "cpl",
        "desktop",
        "hta",
        "jar",
        "jse",
        "lnk",
        "msi",
        "msp",
        "pif",
        "ps1",
        "psm1",
        "reg",
        "scr",
        "sh",
        "command",
        "vb",
        "vbe",
        "vbs",
        "wsf",
        "wsh",
        "exe",
        "dll",
    )
)
"""Names by which operating systems run a file, whatever is in it."""

_MARKUP: Final = (
    (re.compile(rb"<\?(php|=)", re.I), "executable/php"),
    (re.compile(rb"<svg[\s>]", re.I), "image/svg+xml"),
    (re.compile(rb"<(!doctype\s+html|html|head|body|script|iframe|table|a\s+href)\b", re.I), "text/html"),
    (re.compile(rb"^\s*<\?xml\b", re.I), "application/xml"),
)
_TEXTUAL: Final = frozenset(
    ("application/json", "application/javascript", "application/x-yaml", "application/toml")
)
_BOM: Final = b"\xef\xbb\xbf"


class Signatures:
    """Knows the signatures of programs, of media, and what text looks like."""

    def sniff(self, head: bytes, name: str) -> str:
        """Return a media type; `executable/…` is what operating systems run."""
        for signature, kind in _PROGRAMS:
            if head.startswith(signature):
                return kind
        named = self.by_name(name)
        if named is not None:
            return named
        known = filetype.guess_mime(head) if head else None
        if known is not None:
            return str(known)
        return _text(head, name) if _is_text(head) else OCTETS

    def by_name(self, name: str) -> str | None:
        """Return what operating systems take a file of this name for, whatever is in it."""
        return "executable/by-name" if name.rpartition(".")[2].lower() in _SCRIPT_NAMES else None


def _text(head: bytes, name: str) -> str:
    for pattern, kind in _MARKUP:
        if pattern.search(head):
            return "text/html" if kind == "image/svg+xml" and b"<html" in head.lower() else kind
    named, _ = mimetypes.guess_type(f"x.{name.rpartition('.')[2]}") if "." in name else (None, None)
    if named is not None and (named.startswith("text/") or named in _TEXTUAL) and named != "text/html":
        return named
    return "text/plain"


def _is_text(head: bytes) -> bool:
    if not head or b"\x00" in head:
        return False
    try:
        head.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 4  # a character that the cut went through
    return True
