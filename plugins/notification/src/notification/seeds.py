"""An inbox to try things with; the seed goes through a command, and changes nothing when it runs again."""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

from notification.application.announcements import Announce
from platform_core.declarations import Seed, Tier
from platform_core.ports import Execute
from user_management import UserDirectory

_OF_SEEDS: Final = UUID("0be0a1f4-5b5d-5d0c-9a57-0c5ee4f6f1a1")
_NEWS: Final = (
    (
        "Welcome aboard",
        "What lies here was made by the development seeds. Mark it as read, or throw it away.",
    ),
    ("You decide what you hear of", "See /notifications/preferences: channels, kinds, quiet hours."),
    ("The platform is away on Saturday", "From ten to two at night; what you upload meanwhile has to wait."),
)


async def make_inboxes(execute: Execute, directory: UserDirectory) -> None:
    """The people that user management invents for development find three messages each."""
    people = await directory.find_by_usernames(["anna", "ben", "clara", "david", "admin"])
    if not people:
        return
    for title, text in _NEWS:
        await execute(
            Announce(
                announcement_id=uuid5(_OF_SEEDS, title),
                recipients=[person.id for person in people.values()],
                title=title,
                text=text,
            )
        )


SEEDS: Final = (Seed(name="inboxes", tier=Tier.DEVELOPMENT, run=make_inboxes),)
