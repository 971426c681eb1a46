"""
What a module may import of the kernel: `docs/compatibility.md` as data.

The published surface (`tools/surface.py`) is written down from it, and the imports of a stranger's module are checked
against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

PUBLISHED: Final[Mapping[str, Literal["stable", "provisional"]]] = {
    "platform_core": "stable",
    "platform_core.cli": "stable",
    "platform_core.context": "stable",
    "platform_core.db": "stable",
    "platform_core.declarations": "stable",
    "platform_core.deprecations": "stable",
    "platform_core.domain": "stable",
    "platform_core.errors": "stable",
    "platform_core.hookspecs": "stable",
    "platform_core.http": "stable",
    "platform_core.migrations": "stable",
    "platform_core.money": "stable",
    "platform_core.outbound": "stable",
    "platform_core.ports": "stable",
    "platform_core.security": "stable",
    "platform_core.settings": "stable",
    "platform_core.testing": "stable",
    "platform_core.testing.chaos": "provisional",
    "platform_core.testing.conformance": "provisional",
    "platform_core.texts": "stable",
    "platform_core.tracing": "stable",
}
"""
Full name → grade; a submodule of one counts only where it is listed itself, and everything else is internal, whatever
its name.
"""
