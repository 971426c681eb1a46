"""Processes die while people keep links: what was acknowledged is there, once, with its event and its trail."""

from __future__ import annotations

from platform_core.testing.chaos import Chaos, Operation
from user_management.testing import essentials, sign_up


async def test_no_bookmark_is_lost_or_doubled_whoever_dies(chaos: Chaos) -> None:
    async with chaos(["user_management", "bookmarks"], seed=essentials) as rig:
        eve = await sign_up(rig.p, "eve")

        def keep(number: int) -> Operation:
            return Operation(
                path="/api/v1/bookmarks",
                body={"url": f"https://example.org/{number}"},
                headers={"Authorization": f"Bearer {eve.access_token}"},
                command="bookmarks.keep_bookmark",
                events=["bookmarks.bookmark_kept"],
                table="bookmarks.bookmarks",
            )

        await rig.run(keep, acknowledged_count=100)
