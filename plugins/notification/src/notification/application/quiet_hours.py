"""
What waited for the end of quiet hours: one message goes out as it is, several as one digest.

Whether it is still wanted is asked again, because people change their minds and their hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final, TypeAlias
from uuid import UUID

from notification.application.catalogue import Catalogue
from notification.application.ports import (
    EmailRepository,
    PreferencesRepository,
    TemplateRepository,
    Wordings,
)
from notification.application.send_email import sending
from notification.application.wording import Wording
from notification.contracts import EMAIL, PUSH, SMS, NotificationKind
from notification.domain import Email, Preferences, quiet_until, wanted_channels
from platform_core.domain import Command, new_id
from platform_core.ports import Clock, Jobs
from user_management import UserDirectory, UserProfileView

RELEASE_QUIET_EVERY: Final = timedelta(minutes=1)
"""How late after the end of quiet hours a message may come."""

_AT_ONCE_COUNT: Final = 1000
_TITLES_COUNT: Final = 20

DIGEST: Final = NotificationKind(
    name="notification.digest",
    title="What happened meanwhile",
    sample={"count": 22, "titles": ["Paint the fence is yours", "holiday.jpg is ready"], "more": 20},
    channels=(EMAIL, PUSH, SMS),
    essential=True,
)
"""Made of messages that were wanted; a preference about it would say the same twice."""

Place: TypeAlias = tuple[UUID, str, UUID | None]
"""Where messages wait together: user, channel, device."""


@dataclass(frozen=True, kw_only=True)
class ReleaseQuietMessages(Command[None]):
    """Send what waited for quiet hours that are over."""


@dataclass(frozen=True, slots=True)
class Release:
    """Decides what becomes of messages whose quiet hours are over; one per run."""

    emails: EmailRepository
    preferences: PreferencesRepository
    templates: TemplateRepository
    users: UserDirectory
    catalogue: Catalogue
    wording: Wording
    jobs: Jobs
    clock: Clock

    async def run(self) -> None:
        """Decide on all of them, or on as many as one statement should carry."""
        now = self.clock.now()
        waiting = await self.emails.quiet_over(now, _AT_ONCE_COUNT)
        groups = _whole_groups(waiting, is_cut=len(waiting) == _AT_ONCE_COUNT)
        if not groups:
            return
        people = {user_id for user_id, _, _ in groups}
        profiles = await self.users.get_profiles(people)
        preferences = await self.preferences.of_users(people)
        own = await self.templates.of_kinds({email.kind for group in groups.values() for email in group})
        digests: list[Email] = []
        for (user_id, _, _), group in groups.items():
            user = profiles.get(user_id)
            if user is None or not user.is_active:
                for email in group:
                    email.cannot_be_written(now, "the account is gone or disabled")
            else:
                digests += self._released(group, user, preferences.get(user_id), own, now)
        self.emails.settle([email for group in groups.values() for email in group])
        self.emails.add_all(digests)

    def _released(
        self,
        group: Sequence[Email],
        user: UserProfileView,
        preferences: Preferences | None,
        own: Wordings,
        now: datetime,
    ) -> Iterator[Email]:
        until = quiet_until(preferences.quiet_hours if preferences else None, now)
        if until is not None:
            for email in group:
                email.stay_quiet(now, until)
            return
        wanted: list[Email] = []
        for email in group:
            if self._is_wanted(email, preferences):
                wanted.append(email)
            else:
                email.cannot_be_written(now, "it was switched off while it waited")
        if len(wanted) == 1:
            wanted[0].wake(now)
            self._send(wanted[0])
        elif wanted:
            digest = self._digest(wanted, user, own, now)
            for email in wanted:
                email.merge_into(digest.id, now)
            self._send(digest)
            yield digest

    def _is_wanted(self, email: Email, preferences: Preferences | None) -> bool:
        kind = self.catalogue.kinds.get(email.kind)
        # a kind whose module is gone is told as a failure when it is sent
        return kind is None or email.channel in wanted_channels(kind, preferences, self.catalogue.defaults)

    def _digest(self, emails: Sequence[Email], user: UserProfileView, own: Wordings, now: datetime) -> Email:
        first, identity = emails[0], new_id()
        titles = [self._title(email, user, own) for email in emails[:_TITLES_COUNT]]
        return Email(
            id=identity,
            created_at=now,
            updated_at=now,
            event_id=identity,
            kind=DIGEST.name,
            user_id=first.user_id,
            channel=first.channel,
            device_id=first.device_id,
            recipient=emails[-1].recipient,
            data={"count": len(emails), "titles": titles, "more": len(emails) - len(titles)},
            subject=DIGEST.title,
        )

    def _title(self, email: Email, user: UserProfileView, own: Wordings) -> str:
        written = self.wording.write(email.kind, email.channel, user, email.data, own)
        return written[0].subject if written else email.subject

    def _send(self, email: Email) -> None:
        self.jobs.later(sending(email), key=f"email:{email.id}")


async def release_quiet_messages(command: ReleaseQuietMessages, release: Release) -> None:
    """Handle `ReleaseQuietMessages`."""
    await release.run()


def _whole_groups(waiting: Sequence[Email], *, is_cut: bool) -> Mapping[Place, Sequence[Email]]:
    """Return messages by where they wait; of a cut list the last place waits for the next run."""
    groups = {place: list(group) for place, group in groupby(waiting, _place)}
    if is_cut and len(groups) > 1:
        groups.popitem()
    return groups


def _place(email: Email) -> Place:
    return (email.user_id, email.channel, email.device_id)
