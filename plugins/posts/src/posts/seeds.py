"""Posts to try things with; the seeds go through commands, and change nothing when they run again."""

from __future__ import annotations

from typing import Final

from platform_core.declarations import Seed, Tier
from platform_core.ports import Execute
from posts.application.posts import EnsurePost
from user_management import UserDirectory

_POSTS: Final = (
    (
        "anna",
        "What visitors look for",
        "We asked **twelve** people what they look for on our pages.\n\n"
        "- opening hours\n- how to get here\n- prices\n\n"
        "> Nobody reads the welcome text.\n",
        ["website", "research"],
    ),
    (
        "ben",
        "How the search works",
        'Words count as they are written.\n\n```\n"summer party" -rain\n```\n\n| sign | meaning |\n|---|---|\n'
        "| quotes | as a phrase |\n| minus | without |\n",
        ["website", "search"],
    ),
)


async def make_posts(execute: Execute, directory: UserDirectory) -> None:
    """The people that user management invents for development have something to say."""
    people = await directory.find_by_usernames({username for username, *_ in _POSTS})
    for username, title, body, tags in _POSTS:
        if username in people:
            await execute(EnsurePost(author_id=people[username].id, title=title, body=body, tags=tags))


async def make_long_post(execute: Execute, directory: UserDirectory) -> None:
    """Something long, for tests of pages and excerpts."""
    people = await directory.find_by_usernames(["anna"])
    for author in people.values():
        body = "\n\n".join(f"## Part {number}\n\n{'Word after word. ' * 40}" for number in range(1, 21))
        await execute(EnsurePost(author_id=author.id, title="A long one", body=body, tags=["long"]))


SEEDS: Final = (
    Seed(name="posts", tier=Tier.DEVELOPMENT, run=make_posts),
    Seed(name="long_post", tier=Tier.TEST, run=make_long_post),
)
