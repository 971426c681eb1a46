"""What the surface consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from platform_core.deprecations import Deprecated

KERNEL: Final = "platform_core"
"""The owner of what the platform itself publishes."""


@dataclass(frozen=True, slots=True)
class Part:
    """
    One thing that somebody may have built on.

    Attributes:
        owner: `platform_core`, or a module.
        kind: of the table in docs/compatibility.md.
        detail: what of the thing, such as ` --json` of a command or `.get` of a class; empty for the thing itself.
        says: what is promised of it; begins with `required` or `optional` where that is a part of it.
    """

    owner: str
    kind: str
    name: str
    says: str
    detail: str = ""
    grade: Literal["stable", "provisional"] = "stable"
    deprecated: Deprecated | None = None
