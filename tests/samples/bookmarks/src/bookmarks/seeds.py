"""What somebody needs to begin with; every seed goes through a command, and changes nothing when it runs again."""

from __future__ import annotations

from typing import Final

from bookmarks.application import EnsureBookmark
from bookmarks.settings import BookmarksSettings
from platform_core.declarations import Seed, Tier
from platform_core.ports import Execute
from user_management import UserDirectory


async def welcome_administrator(
    execute: Execute, directory: UserDirectory, settings: BookmarksSettings
) -> None:
    """The first administrator is made by a seed of user management and never registers, so no event tells of them."""
    for admin in (await directory.find_by_usernames(["admin"])).values():
        await execute(EnsureBookmark(owner_id=admin.id, url=settings.welcome_url, title="Welcome"))


async def keep_examples(execute: Execute, directory: UserDirectory) -> None:
    """The people that user management invents for development keep something each."""
    for username, person in (await directory.find_by_usernames(["anna", "ben", "clara"])).items():
        await execute(EnsureBookmark(owner_id=person.id, url=f"https://{username}.example.org/"))


async def keep_many(execute: Execute, directory: UserDirectory) -> None:
    """Enough for a second page."""
    for person in (await directory.find_by_usernames(["anna"])).values():
        for number in range(1, 31):
            await execute(
                EnsureBookmark(
                    owner_id=person.id, url=f"https://example.org/{number}", title=f"Page {number}"
                )
            )


SEEDS: Final = (
    Seed(name="administrator", tier=Tier.ESSENTIAL, run=welcome_administrator),
    Seed(name="examples", tier=Tier.DEVELOPMENT, run=keep_examples),
    Seed(name="many", tier=Tier.TEST, run=keep_many),
)
