"""The read model: never older than what it showed, and always what its events make."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from platform_core._projection_operations import ProjectionNotFound, RebuildProjection
from platform_core._projections import Progress, ProjectionGauges, replay, store
from platform_core.testing import PlatformFactory, RunningPlatform, eventually
from platform_core.worker import Worker
from posts.testing import make_post
from user_management.testing import Account, essentials, sign_up

API = "/api/v1"


async def rows(p: RunningPlatform) -> dict[str, list[dict[str, Any]]]:
    """Return the whole read model, row by row."""
    return {
        "pages": await p.sql("SELECT * FROM posts.pages ORDER BY id"),
        "authors": await p.sql("SELECT * FROM posts.authors ORDER BY user_id"),
    }


async def rebuild(p: RunningPlatform) -> Progress:
    """Make it anew, as `platform projections rebuild posts` does."""
    await p.execute(RebuildProjection(name="posts"))
    return await p.kernel.replays.run("posts")


async def rebuilt(p: RunningPlatform) -> bool:
    """Try; transactions of others may be older than the wish, and are waited for."""
    return (await rebuild(p)).is_done


async def title(reader: Account, post: dict[str, Any]) -> str:
    answer = await reader.client.get(f"{API}/posts/{post['id']}")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["title"])


async def test_b23_events_out_of_order_never_show_an_older_state(
    p: RunningPlatform, eve: Account, ben: Account
) -> None:
    """Red without `where=` in `_newest`."""
    post = await make_post(eve.client, "First")
    await p.deliver()
    one = f"{API}/posts/{post['id']}"
    assert (await eve.client.patch(one, json={"title": "Second"})).status_code == 200
    await p.sql("UPDATE platform.deliveries SET status = 'dead' WHERE status = 'pending'")
    assert (await eve.client.patch(one, json={"title": "Third"})).status_code == 200
    await p.deliver()
    assert await title(ben, post) == "Third"
    shown = await rows(p)
    for again in ("dead", "done"):  # the late one, and then everything once more
        await p.sql(
            "UPDATE platform.deliveries SET status = 'pending', finished_at = NULL, attempts_count = 0,"
            " available_at = now() WHERE status = %(status)s AND handler LIKE 'posts.%%'",
            status=again,
        )
        await p.deliver()
        assert await title(ben, post) == "Third"
    assert await rows(p) == shown


async def test_what_is_deleted_stays_deleted_however_late_the_rest_arrives(
    p: RunningPlatform, eve: Account, ben: Account
) -> None:
    post = await make_post(eve.client)
    assert (await eve.client.delete(f"{API}/posts/{post['id']}")).status_code == 204
    await p.sql("UPDATE platform.deliveries SET status = 'dead' WHERE handler <> 'posts.remove_deleted'")
    await p.deliver()
    await p.sql(
        "UPDATE platform.deliveries SET status = 'pending', finished_at = NULL WHERE handler LIKE 'posts.%%'"
    )
    await p.deliver()
    assert (await ben.client.get(f"{API}/posts/{post['id']}")).status_code == 404
    [page] = (await rows(p))["pages"]
    assert (page["title"], page["body_html"], page["search"]) == (None, None, None)


async def test_the_same_events_make_the_same_rows_and_mend_what_was_broken(
    p: RunningPlatform, eve: Account, ben: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "_BATCH_COUNT", 2)
    monkeypatch.setattr(store, "_EVENTS_COUNT", 2)  # less than one of the posts has
    made = [await make_post((eve, ben)[n % 2].client, f"Post {n}", tags=["a"]) for n in range(5)]
    await eve.client.patch(f"{API}/posts/{made[0]['id']}", json={"body": "*Other*"})
    await eve.client.delete(f"{API}/posts/{made[2]['id']}")
    await ben.client.patch(f"{API}/users/me", json={"full_name": "Ben"})
    await p.deliver()
    before = await rows(p)
    assert (len(before["pages"]), len(before["authors"])) == (5, 2)
    await p.sql("UPDATE posts.pages SET title = 'Wrong', position = 9000000000")
    await p.sql("DELETE FROM posts.authors")
    await p.sql("INSERT INTO posts.pages (id, position, version) VALUES (gen_random_uuid(), 1, 1)")
    await eventually(lambda: rebuilt(p))
    [row] = await p.kernel.replays.look()
    assert (row["status"], row["done_count"], row["total_count"]) == ("live", 7, 7)
    assert await rows(p) == before
    assert {line.outcome for line in await p.audit("platform.rebuild_projection")} == {"done"}


@dataclass
class Bustle:
    """Somebody writes, a worker delivers, somebody reads, and an operator makes the read model anew, all at once."""

    p: RunningPlatform
    writer: Account
    reader: Account
    posts: list[dict[str, Any]]
    is_over: bool = False
    reads_count: int = 0
    replays_count: int = 0

    async def write(self, changes_count: int) -> None:
        for number in range(changes_count):
            path = f"{API}/posts/{self.posts[number % len(self.posts)]['id']}"
            answer = await self.writer.client.patch(path, json={"title": f"Change {number}"})
            assert answer.status_code == 200, answer.text
        self.is_over = True

    async def deliver(self) -> None:
        while not self.is_over:
            await self.p.deliver()

    async def read(self) -> None:
        latest = dict.fromkeys((post["id"] for post in self.posts), -1)
        while not self.is_over:
            for post in self.posts:
                word, _, number = (await title(self.reader, post)).partition(" ")
                shown = int(number) if word == "Change" else -1
                assert shown >= latest[post["id"]], "an older state"
                latest[post["id"]] = shown
                self.reads_count += 1

    async def make_anew(self) -> None:
        while not self.is_over:
            await rebuild(self.p)
            self.replays_count += 1
            await asyncio.sleep(0.01)


async def test_it_is_made_anew_while_people_write_and_read(
    p: RunningPlatform, eve: Account, ben: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when a batch is no transaction."""
    monkeypatch.setattr(replay, "_BATCH_COUNT", 1)
    made = [await make_post(eve.client, f"Post {n}") for n in range(8)]
    await p.deliver()
    bustle = Bustle(p, eve, ben, made)
    await asyncio.gather(bustle.write(64), bustle.deliver(), bustle.read(), bustle.make_anew())
    assert bustle.reads_count > 8
    assert bustle.replays_count > 1
    await p.deliver(skip_waits=True)
    assert {one.status for one in await p.deliveries()} == {"done"}
    live = await rows(p)
    assert {page["title"] for page in live["pages"]} == {f"Change {number}" for number in range(56, 64)}
    await eventually(lambda: rebuilt(p))
    assert await rows(p) == live


async def test_what_happens_while_a_replay_is_under_way_is_not_lost(
    p: RunningPlatform, eve: Account, ben: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when events are read before what they make is forgotten."""
    post = await make_post(eve.client, "First")
    await p.deliver()
    await eventually(lambda: rebuilt(p))
    read, delivering = store.events_of, list[asyncio.Task[Any]]()

    async def read_and_wait(*args: Any) -> Any:
        rows = [row async for row in read(*args)]
        if not delivering:
            path = f"{API}/posts/{post['id']}"
            assert (await eve.client.patch(path, json={"title": "Meanwhile"})).status_code == 200
            delivering.append(asyncio.create_task(p.deliver()))
            await asyncio.wait(delivering, timeout=1)
        for row in rows:
            yield row

    async def only_deliver(_worker: Worker) -> None:
        """Leave the replay alone, which would be waited for."""

    monkeypatch.setattr(store, "events_of", read_and_wait)
    monkeypatch.setattr(Worker, "_make_projections", only_deliver)
    await eventually(lambda: rebuilt(p))
    await delivering[0]
    assert await title(ben, post) == "Meanwhile"


async def test_a_replay_that_was_cut_off_goes_on_where_it_was(
    p: RunningPlatform, eve: Account, ben: Account, platform: PlatformFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when `cursor` is not stored with the batch."""
    monkeypatch.setattr(replay, "_BATCH_COUNT", 2)
    for number in range(6):
        await make_post(eve.client, f"Post {number}")
    await p.deliver()
    before = await rows(p)
    await p.execute(RebuildProjection(name="posts"))

    async def began() -> bool:
        return (await p.kernel.replays.step("posts")).done_count == 2

    await eventually(began)
    dying = asyncio.create_task(p.kernel.replays.step("posts"))
    await asyncio.sleep(0.005)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    await p.execute(RebuildProjection(name="posts"))  # asked for again, it goes on
    async with platform(["user_management", "posts"], beside=p) as other:
        seen: list[int] = []
        monkeypatch.setattr(other.kernel.replays, "step", _noting(other.kernel.replays.step, seen))
        await other.deliver()  # a worker does not wait to be asked
        assert seen[0] in (4, 6)
        assert seen[-1] == 8
    assert await rows(p) == before
    [row] = await p.kernel.replays.look()
    assert (row["status"], row["done_count"], row["total_count"]) == ("live", 8, 8)


def _noting(step: Any, seen: list[int]) -> Any:
    async def noting(name: str) -> Progress:
        progress: Progress = await step(name)
        seen.append(progress.done_count)
        return progress

    return noting


async def test_a_module_that_comes_later_knows_what_happened_before(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as before:
        eve = await sign_up(before, "eve")
        await eve.client.patch(f"{API}/users/me", json={"full_name": "Eve"})
        async with platform(["user_management", "posts"], beside=before) as p:

            async def knows() -> bool:
                await p.deliver()
                return [row["full_name"] for row in (await rows(p))["authors"]] == ["Eve"]

            await eventually(knows)


async def test_a_replay_waits_for_those_who_began_before_anybody_listened(p: RunningPlatform) -> None:
    """Red without `is_due`: what such a writer commits later has no delivery, and was not there to be replayed."""
    await eventually(lambda: rebuilt(p))
    async with await psycopg.AsyncConnection.connect(p.database_url) as writer:
        await writer.execute("SELECT pg_current_xact_id()")
        await p.execute(RebuildProjection(name="posts"))
        assert (await p.kernel.replays.run("posts")).is_waiting
        await writer.commit()
    await eventually(lambda: rebuilt(p))


async def test_how_far_it_is_behind_is_told(p: RunningPlatform, eve: Account) -> None:
    await eventually(lambda: rebuilt(p))
    await p.deliver()
    gauges = ProjectionGauges(p.kernel.replays)
    await make_post(eve.client)
    await asyncio.sleep(0.05)
    await gauges.look()
    told = {family.name: family.samples[0].value for family in gauges.collect()}
    assert told["platform_projection_lag_seconds"] > 0
    assert told["platform_projection_replaying"] == 0
    await p.sql("UPDATE platform.deliveries SET status = 'dead' WHERE status = 'pending'")
    await gauges.look()
    told = {family.name: family.samples[0].value for family in gauges.collect()}
    assert (told["platform_projection_lag_seconds"], told["platform_projection_dead_events"]) == (0, 2)


async def test_there_is_no_other_projection(p: RunningPlatform) -> None:
    with pytest.raises(ProjectionNotFound, match="there are: posts"):
        await p.execute(RebuildProjection(name="nothing"))
