import asyncio
import time
from uuid import UUID

import pytest

from platform_core.domain import new_id
from platform_core.standings import CHANNEL, Revocation


async def eventually(holds, seconds=5.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


async def test_the_database_is_asked_once_and_redis_afterwards_on_every_process(build):
    one, two = await build(), await build()
    token = await one.log_in("widgets:write")
    async with one.client(token=token) as first, two.client(token=token) as second:
        for client in (first, second, first, second):
            assert (await client.get("/widgets")).status_code == 200
        assert (await second.delete(f"/widgets/{new_id()}")).status_code == 404  # permissions are cached too
    assert (one.tokens.asked, two.tokens.asked) == (1, 0)


@pytest.mark.parametrize("what", ["session", "user"])
async def test_a_revocation_is_effective_at_once_on_every_process(build, what):
    one, two = await build(), await build()
    for _ in range(5):
        token = await one.log_in()
        async with one.client(token=token) as first, two.client(token=token) as second:
            for client in (first, second):
                assert (await client.get("/widgets")).status_code == 200
            users = "?users=true" if what == "user" else ""
            assert (await first.post(f"/log-out{users}")).status_code == 204
            assert (await second.get("/widgets")).status_code == 401
            assert (await first.get("/widgets")).status_code == 401


async def test_other_sessions_of_the_user_are_only_read_anew(build):
    rig = await build()
    user_id = new_id()
    kept, ended = await rig.log_in(user_id=user_id), await rig.log_in(user_id=user_id)
    async with rig.client(token=kept) as one, rig.client(token=ended) as two:
        await one.get("/widgets")
        assert (await two.post("/log-out?users=true")).status_code == 204
        assert (await one.get("/widgets")).status_code == 200
    assert rig.tokens.asked == 3


async def test_permissions_change_with_the_next_request(build):
    rig = await build()
    token = await rig.log_in()
    user_id, _, session_id = token.partition(".")
    async with rig.client(token=token) as client:
        assert (await client.delete(f"/widgets/{new_id()}")).status_code == 403
        await rig.sql("UPDATE shop.sessions SET permissions = '{*}' WHERE id = %(id)s", id=session_id)
        await rig.standings.forget([Revocation(users=(UUID(user_id),))])
        assert (await client.delete(f"/widgets/{new_id()}")).status_code == 404


async def test_a_revocation_while_redis_is_away_holds_when_it_comes_back(build, own_redis, tmp_path):
    rig = await build(redis_url=own_redis.url)
    blind = await build(redis_url=f"unix://{tmp_path}/nowhere.sock")
    token = await rig.log_in()
    async with rig.client(token=token) as seeing, blind.client(token=token) as other:
        assert (await seeing.get("/widgets")).status_code == 200
        assert (await seeing.get("/widgets")).status_code == 200
        assert rig.tokens.asked == 1
        # this process does not reach Redis: the entry stays in it, and no mark is made there
        assert (await other.post("/log-out")).status_code == 204
        await asyncio.sleep(0.1)
        assert (await seeing.get("/widgets")).status_code == 401


async def test_a_redis_that_was_flushed_or_restored_from_old_data_changes_nothing(build):
    rig = await build()
    token = await rig.log_in()
    async with rig.client(token=token) as client:
        await client.get("/widgets")
        keys = await rig.redis.call("KEYS", f"{rig.standings._prefix}*session*")
        entry = await rig.redis.call("GET", keys[0])
        assert (await client.post("/log-out")).status_code == 204
        await rig.redis.call("FLUSHDB")
        assert (await client.get("/widgets")).status_code == 401
        await rig.redis.call("SET", keys[0], entry)
        await asyncio.sleep(
            2.1
        )  # the process remembers for so long without asking that there is no such session
        assert (await client.get("/widgets")).status_code == 401


async def test_an_entry_that_was_read_before_the_revocation_and_stored_after_it_does_not_count(build):
    rig, other = await build(), await build()
    token = await rig.log_in()
    async with rig.client(token=token) as client, other.client(token=token) as elsewhere:
        standing = rig.tokens.standing
        read, stored = asyncio.Event(), asyncio.Event()

        async def slow(claim):
            principal = await standing(claim)
            read.set()
            await stored.wait()
            return principal

        rig.tokens.standing = slow
        late = asyncio.create_task(client.get("/widgets"))
        await read.wait()
        assert (await elsewhere.post("/log-out")).status_code == 204
        stored.set()
        assert (await late).status_code == 200  # it began before the revocation
        rig.tokens.standing = standing
        for each in (client, elsewhere):
            assert (await each.get("/widgets")).status_code == 401


async def test_without_hearing_revocations_no_cached_entry_counts(build):
    rig = await build()
    async with rig.client(token=await rig.log_in()) as client:
        for _ in range(3):
            await client.get("/widgets")
        assert rig.tokens.asked == 1
        await rig.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'platform/standings'"
        )
        await eventually(lambda: not rig.standings.is_trusted)
        await client.get("/widgets")
        assert rig.tokens.asked == 2
        await eventually(lambda: rig.standings.is_trusted)
        await client.get("/widgets")  # entries from before the reconnection do not count
        assert rig.tokens.asked == 3
        await client.get("/widgets")
        assert rig.tokens.asked == 3
        assert b"platform_standings_trusted 1.0" in rig.metrics.render()


async def test_a_revocation_during_a_lost_connection_is_not_missed(build):
    rig = await build()
    token = await rig.log_in()
    async with rig.client(token=token) as client:
        await client.get("/widgets")
        session_id = token.partition(".")[2]
        await rig.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'platform/standings'"
        )
        await eventually(lambda: not rig.standings.is_trusted)
        await rig.sql("UPDATE shop.sessions SET is_active = false WHERE id = %(id)s", id=session_id)
        await eventually(lambda: rig.standings.is_trusted)
        assert (await client.get("/widgets")).status_code == 401


async def test_everybody_can_be_revoked(build):
    rig = await build()
    async with rig.client(token=await rig.log_in()) as client:
        await client.get("/widgets")
        await rig.sql(
            f"SELECT pg_notify('{CHANNEL}', %(note)s)", note=next(iter(Revocation(everybody=True).notes()))
        )
        await asyncio.sleep(0.1)
        await client.get("/widgets")
    assert rig.tokens.asked == 2


async def test_a_note_that_makes_no_sense_revokes_everybody(build):
    rig = await build()
    async with rig.client(token=await rig.log_in()) as client:
        await client.get("/widgets")
        await rig.sql(f"SELECT pg_notify('{CHANNEL}', 'rubbish')")
        await asyncio.sleep(0.1)
        await client.get("/widgets")
    assert rig.tokens.asked == 2


def test_notes_are_short_enough_for_postgresql_and_lose_nobody():
    sessions, users = tuple(new_id() for _ in range(1000)), tuple(new_id() for _ in range(7))
    notes = list(Revocation(sessions, users).notes())
    assert max(len(note.encode()) for note in notes) < 8000
    parsed = [Revocation.parse(note) for note in notes]
    assert tuple(each for note in parsed for each in note.sessions) == sessions
    assert tuple(each for note in parsed for each in note.users) == users


async def test_an_unknown_session_is_not_asked_for_again_and_again(build):
    rig = await build()
    async with rig.client(token=f"{new_id()}.{new_id()}") as thief:
        for _ in range(20):
            assert (await thief.get("/widgets")).status_code == 401
    assert rig.tokens.asked == 1


async def test_a_cached_entry_of_another_session_proves_nothing(build):
    rig = await build()
    rich, poor = await rig.log_in("*"), await rig.log_in()
    async with rig.client(token=rich) as one, rig.client(token=poor) as two:
        await one.get("/widgets")
        await two.get("/widgets")
        prefix = rig.standings._prefix
        entry = await rig.redis.call("GET", f"{prefix}session:{rich.partition('.')[2]}")
        await rig.redis.call("SET", f"{prefix}session:{poor.partition('.')[2]}", entry)
        assert (await two.delete(f"/widgets/{new_id()}")).status_code == 403


@pytest.mark.parametrize("entry", [b"", b"junk", b"9999999999.9|{}", b"1e400|{}", b"nan|{}", b"|", b"1.0"])
async def test_entries_that_make_no_sense_are_ignored(build, entry):
    rig = await build()
    token = await rig.log_in()
    await rig.redis.call("SET", f"{rig.standings._prefix}session:{token.partition('.')[2]}", entry)
    async with rig.client(token=token) as client:
        assert (await client.get("/widgets")).status_code == 200
    assert rig.tokens.asked == 1


async def test_the_primary_is_asked_because_a_replica_may_not_know_yet(build, servers):
    # the rig's authenticator asserts it
    rig = await build(READ_DATABASE_URL=servers.database_url)
    async with rig.client(token=await rig.log_in()) as client:
        assert (await client.get("/widgets")).status_code == 200
