"""
What is going to go, said once where it is declared, and told by everything that shows or uses it.

    LEFT = Deprecated(since=date(2027, 1, 15), until=date(2028, 1, 15), instead="GET /users?q=")

    a route     @router.get("/users/search", deprecated=LEFT, …)               headers `Deprecation`, `Sunset`; OpenAPI
    a setting   limit: Annotated[int, LEFT] = Field(50, description="…")       a warning where it is set; `config show`
    an event    class UserMoved(Event): deprecated = LEFT                      a warning to who subscribes
    a service   per_unit_of_work(UserFinder, SqlUserFinder, deprecated=LEFT)   a warning to who asks for it
    a hook      @hookspecs.deprecated_hook(LEFT) above the specification       a warning to who implements it
    an option   cli.deprecated_option(LEFT, "--page", help="…")                a warning to who uses it; `--help`

Warnings are `PlatformDeprecation`s: a line of the log of a running process, a failure of a test suite that treats
warnings as errors, as the test kit asks module authors to. `docs/reference/surface.md` lists everything deprecated.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from typing import Any, Final

__all__ = ["Deprecated", "PlatformDeprecation", "deprecation_of", "mark_deprecated"]

_MARK: Final = "platform_core_deprecated"


class PlatformDeprecation(FutureWarning):
    """Something that is used here is going to go; shown by default, because whoever sees it can do something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deprecated:
    """
    When something began to go, and what to use.

    Attributes:
        since: the day from which on nobody new should use it.
        until: the first day without it; None while that is not decided.
        instead: what does the same from now on, in a few words; a route that replaces one as `GET /path`.
    """

    since: date
    until: date | None = None
    instead: str

    def __post_init__(self) -> None:
        if self.until is not None and self.until <= self.since:
            raise ValueError(f"it cannot go on {self.until} and be deprecated since {self.since}")

    def __str__(self) -> str:
        going = f", gone from {self.until}" if self.until else ""
        return f"deprecated since {self.since}{going}; use {self.instead}"

    def warning(self, what: str) -> PlatformDeprecation:
        """Return the warning for who uses `what`."""
        return PlatformDeprecation(f"{what} is {self}")

    def warn(self, what: str) -> None:
        """Warn who uses `what`."""
        warnings.warn(self.warning(what), stacklevel=3)

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers of an answer: `Deprecation` of RFC 9745, and `Sunset` of RFC 8594."""
        found = {"Deprecation": f"@{int(_midnight(self.since).timestamp())}"}
        if self.until is not None:
            found["Sunset"] = format_datetime(_midnight(self.until), usegmt=True)
        return found

    @property
    def json(self) -> dict[str, str | None]:
        """Return it as data, for documents."""
        return {
            "since": self.since.isoformat(),
            "until": self.until.isoformat() if self.until else None,
            "instead": self.instead,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, str | None]) -> Deprecated:
        """Return what `json` made data of."""
        until = data["until"]
        return cls(
            since=date.fromisoformat(data["since"] or ""),
            until=date.fromisoformat(until) if until else None,
            instead=data["instead"] or "",
        )


def deprecation_of(thing: Any) -> Deprecated | None:
    """
    Return how something is deprecated, or None.

    Args:
        thing: an event class, a hook's specification, an option's callback, a field of a settings model, or a
            declaration that has a `deprecated` of its own.
    """
    for name in (_MARK, "deprecated"):
        found = getattr(thing, name, None)
        if isinstance(found, Deprecated):
            return found
    metadata = getattr(thing, "metadata", ())  # of a pydantic field: what `Annotated` held
    among = metadata if isinstance(metadata, list | tuple) else ()
    return next((one for one in among if isinstance(one, Deprecated)), None)


def mark_deprecated(function: Any, deprecation: Deprecated) -> None:
    """Let `deprecation_of` find out about a function."""
    setattr(function, _MARK, deprecation)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
