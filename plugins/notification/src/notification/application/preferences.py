"""What a user wants to hear of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Len

from notification.application.catalogue import Catalogue
from notification.application.ports import EmailRepository, PreferencesRepository
from notification.contracts import PreferencesView, QuietHours
from notification.domain import Preferences, check_preferences
from platform_core.domain import Command, Query, new_id
from platform_core.ports import Clock
from platform_core.security import Principal

ChannelName = Annotated[str, Len(1, 50)]
KindName = Annotated[str, Len(1, 200)]
Choice = Annotated[dict[ChannelName, bool], Len(0, 50)]


@dataclass(frozen=True, kw_only=True)
class GetPreferences(Query[PreferencesView]):
    """The caller's own."""


@dataclass(frozen=True, kw_only=True)
class SetPreferences(Command[PreferencesView]):
    """
    Replace the caller's own preferences.

    Attributes:
        channels: what is left out is as by default.
        kinds: kind → channel → on or off; see `notification.domain.wanted_channels`.
    """

    channels: Choice = field(default_factory=dict)
    kinds: Annotated[dict[KindName, Choice], Len(0, 500)] = field(default_factory=dict)
    quiet_hours: QuietHours | None = None


async def set_preferences(
    command: SetPreferences,
    principal: Principal,
    preferences: PreferencesRepository,
    emails: EmailRepository,
    catalogue: Catalogue,
    clock: Clock,
) -> PreferencesView:
    """
    Replace the caller's preferences.

    Raises:
        InvalidInput: a channel, kind or time zone that does not exist.
    """
    user_id, now = principal.require_user(), clock.now()
    stored = await preferences.held(Preferences(id=new_id(), created_at=now, updated_at=now, user_id=user_id))
    check_preferences(
        channels=command.channels,
        kinds=command.kinds,
        quiet_hours=command.quiet_hours,
        # what was said about a module that is not installed at the moment may be said again
        known_channels={*catalogue.defaults, *stored.channels},
        known_kinds={*catalogue.kinds, *stored.kinds},
    )
    waited_for = stored.quiet_hours
    stored.change(now, channels=command.channels, kinds=command.kinds, quiet_hours=command.quiet_hours)
    if waited_for not in (None, stored.quiet_hours):
        emails.end_quiet(user_id, now)
    return preferences_view(catalogue, stored.channels, stored.kinds, command.quiet_hours)


def preferences_view(
    catalogue: Catalogue,
    channels: dict[str, bool],
    kinds: dict[str, dict[str, bool]],
    quiet_hours: QuietHours | None,
) -> PreferencesView:
    """Complete what a user said by what holds for everybody else."""
    return PreferencesView(channels={**catalogue.defaults, **channels}, kinds=kinds, quiet_hours=quiet_hours)
