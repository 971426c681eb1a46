"""What content is, told by its first bytes; what the client says counts for nothing."""

from __future__ import annotations

import mimetypes
import re
from typing import Final

import filetype

from file_management.domain import OCTETS, extensions

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

_BY_NAME: Final = "executable/by-name"

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
        if _is_program(name):
            return _BY_NAME
        known = filetype.guess_mime(head) if head else None
        if known is not None:
            return str(known)
        return _text(head, name) if _is_text(head) else OCTETS

    def renamed(self, content_type: str, name: str) -> str:
        """Return what content of this type is by another name: a program is one by either, text what it is called."""
        if _is_program(name):
            return _BY_NAME
        return _named_text(name) if _is_told_by_name(content_type) else content_type


def _text(head: bytes, name: str) -> str:
    for pattern, kind in _MARKUP:
        if pattern.search(head):
            return "text/html" if kind == "image/svg+xml" and b"<html" in head.lower() else kind
    return _named_text(name)


def _named_text(name: str) -> str:
    for extension in extensions(name) if "." in name else ():
        named, _ = mimetypes.guess_type(f"x.{extension}")
        if named is not None and _is_told_by_name(named):
            return named
    return "text/plain"


def _is_told_by_name(content_type: str) -> bool:
    return (content_type.startswith("text/") or content_type in _TEXTUAL) and content_type != "text/html"


def _is_program(name: str) -> bool:
    return not _SCRIPT_NAMES.isdisjoint(extensions(name))


def _is_text(head: bytes) -> bool:
    if not head or b"\x00" in head:
        return False
    try:
        head.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 4  # a character that the cut went through
    return True
