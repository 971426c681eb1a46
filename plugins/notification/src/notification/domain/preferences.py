"""What somebody wants to hear of, on which channels, and when not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from notification.contracts import EMAIL, IN_APP, PUSH, SMS, NotificationKind, QuietHours
from notification.domain.quiet_hours import quiet_hours_problems
from platform_core.domain import Aggregate
from platform_core.errors import FieldError, InvalidInput, pointer

DEFAULT_CHANNELS: Final = {EMAIL: True, SMS: False, PUSH: False, IN_APP: True}
"""The channels of the HTTP contract, and what holds for who never said anything."""


@dataclass(eq=False, kw_only=True)
class Preferences(Aggregate):
    """
    What one user wants to hear of, and how.

    Attributes:
        channels: channel → on or off; the defaults hold for those that are not mentioned.
        kinds: kind → channel → on or off; for those that are not mentioned the kind's own channels are on.
        quiet_hours: as `QuietHours`.
    """

    user_id: UUID
    channels: dict[str, bool] = field(default_factory=dict)
    kinds: dict[str, dict[str, bool]] = field(default_factory=dict)
    quiet_hours: dict[str, str] | None = None

    def change(
        self,
        now: datetime,
        *,
        channels: Mapping[str, bool],
        kinds: Mapping[str, Mapping[str, bool]],
        quiet_hours: QuietHours | None,
    ) -> None:
        """Replace everything."""
        self.channels = dict(channels)
        self.kinds = {kind: dict(choice) for kind, choice in kinds.items()}
        self.quiet_hours = (
            None
            if quiet_hours is None
            else {"start": quiet_hours.start, "end": quiet_hours.end, "timezone": quiet_hours.timezone}
        )
        self.touch(now)


def wanted_channels(
    kind: NotificationKind, preferences: Preferences | None, defaults: Mapping[str, bool]
) -> tuple[str, ...]:
    """
    Decide on which channels a user hears of `kind`.

    Args:
        preferences: None for a user who never said anything.
        defaults: every channel there is → whether it is on by default.

    Returns: an essential kind uses its own channels, whatever the preferences say. Of another one people hear where
        the channel is on and the kind is not off there; a channel that the kind does not use by itself has to be asked
        for.
    """
    own = tuple(name for name in kind.channels if name in defaults)
    if kind.essential:
        return own
    channels = dict(defaults) | (preferences.channels if preferences else {})
    choice = preferences.kinds.get(kind.name, {}) if preferences else {}
    possible = dict.fromkeys([*own, *(name for name in choice if name in defaults)])
    return tuple(name for name in possible if channels[name] and choice.get(name, True))


def check_preferences(
    *,
    channels: Mapping[str, bool],
    kinds: Mapping[str, Mapping[str, bool]],
    quiet_hours: QuietHours | None,
    known_channels: Iterable[str],
    known_kinds: Iterable[str],
) -> None:
    """
    Insist that preferences speak of things that exist.

    Raises:
        InvalidInput: with every unknown channel and kind, and what is wrong with the quiet hours.
    """
    names, kind_names = set(known_channels), set(known_kinds)
    found = [_unknown("channel", "channels", name) for name in channels if name not in names]
    for kind, choice in kinds.items():
        if kind not in kind_names:
            found.append(_unknown("kind", "kinds", kind))
        found += [_unknown("channel", "kinds", kind, name) for name in choice if name not in names]
    found += quiet_hours_problems(quiet_hours)
    if found:
        raise InvalidInput("The preferences speak of things that do not exist.", fields=found)


def _unknown(thing: str, *place: str) -> FieldError:
    return FieldError(pointer(["body", *place]), f"there is no such {thing}", f"unknown_{thing}")
