import asyncio
import socket
import urllib.parse

import pytest

from platform_core.testing import PlatformFactory, RunningPlatform
from user_management import SessionReuseDetected
from user_management.testing import Account, essentials, log_in, sign_up


async def refresh(p: RunningPlatform, token: str) -> tuple[int, dict[str, str]]:
    answer = await p.client.post("/api/v1/auth/refresh", json={"refresh_token": token})
    return answer.status_code, answer.json()


async def status_of_me(p: RunningPlatform, access_token: str) -> int:
    async with p.new_client({"Authorization": f"Bearer {access_token}"}) as client:
        return (await client.get("/api/v1/users/me")).status_code


async def test_a_refresh_token_is_exchanged_for_the_next_pair(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        p.clock.advance(minutes=14)
        status, pair = await refresh(p, eve.refresh_token)
        assert status == 200
        assert pair["refresh_token"] != eve.refresh_token
        assert await status_of_me(p, pair["access_token"]) == 200
        [session] = (await eve.client.get("/api/v1/auth/sessions")).json()["items"]
        assert session["last_seen_at"] > session["created_at"]


async def test_row_20_a_spent_token_that_comes_at_once_is_superseded_and_nothing_happens(
    platform: PlatformFactory,
) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        _, pair = await refresh(p, eve.refresh_token)
        for seconds in (0, 10):
            p.clock.advance(seconds=seconds)
            status, problem = await refresh(p, eve.refresh_token)
            assert (status, problem["type"]) == (409, "/problems/refresh-superseded")
        assert (await refresh(p, pair["refresh_token"]))[0] == 200, "row 19: a lost answer is no lock-out"
        assert await p.events(SessionReuseDetected) == []


async def test_row_16_a_spent_token_that_comes_late_ends_the_whole_session(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        other = await log_in(p, eve.email)
        _, second = await refresh(p, eve.refresh_token)
        _, third = await refresh(p, second["refresh_token"])
        p.clock.advance(seconds=11)
        assert (await refresh(p, eve.refresh_token))[0] == 401
        assert (await refresh(p, third["refresh_token"]))[0] == 401
        assert (await refresh(p, second["refresh_token"]))[0] == 401
        for token in (eve.access_token, second["access_token"], third["access_token"]):
            assert await status_of_me(p, token) == 401
        assert await status_of_me(p, other.access_token) == 200, "the other login goes on"
        [event] = await p.events(SessionReuseDetected)
        assert event.user_id == eve.id
        [row] = await p.sql(
            "SELECT revoked_reason FROM user_management.user_sessions WHERE revoked_at IS NOT NULL"
        )
        assert row["revoked_reason"] == "refresh_reuse"
        refused = [
            line for line in await p.audit("user_management.refresh_tokens") if line.outcome == "refused"
        ]
        assert (refused[0].resource_type, refused[0].resource_id) == (
            "user_management.session",
            event.session_id,
        )


@pytest.mark.parametrize("replicas", [1, 2])
async def test_row_17_of_fifty_parallel_refreshes_exactly_one_wins(
    platform: PlatformFactory, replicas: int
) -> None:
    async with (
        platform(["user_management"], seed=essentials) as p,
        platform(["user_management"], beside=p) as q,
    ):
        token = (await sign_up(p, "eve")).refresh_token
        for _ in range(3):
            answers = await asyncio.gather(
                *(refresh(q if replicas == 2 and n % 2 else p, token) for n in range(50))
            )
            winners = [pair for status, pair in answers if status == 200]
            losers = [problem for status, problem in answers if status == 409]
            assert (len(winners), len(losers)) == (1, 49)
            assert {problem["type"] for problem in losers} == {"/problems/refresh-superseded"}
            token = winners[0]["refresh_token"]
        rows = await p.sql("SELECT spent_at FROM user_management.refresh_tokens")
        assert (len(rows), sum(row["spent_at"] is None for row in rows)) == (4, 1)
        assert await p.events(SessionReuseDetected) == []


async def test_row_18_nothing_that_a_racing_refresh_made_outlives_the_logout(
    platform: PlatformFactory,
) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        for number in range(8):
            eve = await sign_up(p, f"eve{number}")
            (status, pair), farewell = await asyncio.gather(
                refresh(p, eve.refresh_token), eve.client.post("/api/v1/auth/logout")
            )
            assert farewell.status_code == 204
            assert status in (200, 401)
            if status == 200:
                assert await status_of_me(p, pair["access_token"]) == 401
                assert (await refresh(p, pair["refresh_token"]))[0] == 401
            assert await status_of_me(p, eve.access_token) == 401


async def test_row_21_a_session_ends_after_seven_days_however_busy(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        token = (await sign_up(p, "eve")).refresh_token
        for _ in range(7):
            p.clock.advance(hours=23)
            status, pair = await refresh(p, token)
            assert status == 200
            token = pair["refresh_token"]
        p.clock.advance(hours=8)
        assert (await refresh(p, token))[0] == 401


async def test_row_21_an_idle_session_ends_where_the_deployer_says_so(platform: PlatformFactory) -> None:
    settings = {"PLATFORM_USER_MANAGEMENT_SESSION_IDLE_MINUTES": "30"}
    async with platform(["user_management"], seed=essentials, settings=settings) as p:
        eve = await sign_up(p, "eve")
        p.clock.advance(minutes=29)
        status, pair = await refresh(p, eve.refresh_token)
        assert status == 200
        p.clock.advance(minutes=31)
        assert (await refresh(p, pair["refresh_token"]))[0] == 401


async def test_row_22_a_session_that_ended_by_idleness_is_in_no_list(platform: PlatformFactory) -> None:
    settings = {"PLATFORM_USER_MANAGEMENT_SESSION_IDLE_MINUTES": "30"}
    async with platform(["user_management"], seed=essentials, settings=settings) as p:
        eve = await sign_up(p, "eve")
        [idle] = (await eve.client.get("/api/v1/auth/sessions")).json()["items"]
        p.clock.advance(minutes=20)
        fresh = await log_in(p, eve.email)
        assert len((await fresh.client.get("/api/v1/auth/sessions")).json()["items"]) == 2
        p.clock.advance(minutes=10)
        [listed] = (await fresh.client.get("/api/v1/auth/sessions")).json()["items"]
        assert (listed["current"], listed["id"] != idle["id"]) == (True, True)
        answer = await fresh.client.delete(f"/api/v1/auth/sessions/{idle['id']}")
        assert answer.status_code == 404, "there is nothing left to end"


@pytest.mark.parametrize("token", ["x", "🙂", "A" * 43, "a.b.c", "' OR 1=1--"])
async def test_what_is_no_refresh_token_is_refused(platform: PlatformFactory, token: str) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        assert (await refresh(p, token))[0] == 401


async def test_row_8_an_access_token_is_no_refresh_token_nor_the_other_way_round(
    platform: PlatformFactory,
) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        assert (await refresh(p, eve.access_token))[0] == 401
        assert await status_of_me(p, eve.refresh_token) == 401


async def test_row_24_the_database_holds_no_usable_token(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        _, pair = await refresh(p, eve.refresh_token)
        names = await p.sql(
            "SELECT schemaname || '.' || tablename AS name FROM pg_tables"
            " WHERE schemaname IN ('platform', 'audit', 'user_management')"
        )
        for table in (row["name"] for row in names):
            for row in await p.sql(f"SELECT t::text AS text FROM {table} t"):
                for token in (
                    eve.refresh_token,
                    pair["refresh_token"],
                    eve.access_token,
                    pair["access_token"],
                ):
                    assert token not in row["text"], table
                    assert token.encode().hex() not in row["text"], table


async def test_logging_out_stops_every_token_of_the_session_at_once_on_every_process(
    platform: PlatformFactory,
) -> None:
    async with (
        platform(["user_management"], seed=essentials) as p,
        platform(["user_management"], beside=p) as q,
    ):
        eve = await sign_up(p, "eve")
        other = await log_in(p, eve.email)
        for replica in (p, q):
            assert await status_of_me(replica, eve.access_token) == 200, "it is cached now"
        assert (await eve.client.post("/api/v1/auth/logout")).status_code == 204
        for replica in (p, q):
            assert await status_of_me(replica, eve.access_token) == 401
            assert await status_of_me(replica, other.access_token) == 200
        assert (await refresh(p, eve.refresh_token))[0] == 401
        assert (await eve.client.post("/api/v1/auth/logout")).status_code == 401


async def test_of_two_who_log_out_at_once_both_are_told_so(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        answers = await asyncio.gather(*(eve.client.post("/api/v1/auth/logout") for _ in range(8)))
        assert {answer.status_code for answer in answers} <= {204, 401}
        assert 204 in {answer.status_code for answer in answers}


async def test_row_b9_a_logout_survives_a_redis_that_forgets_everything(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        assert await status_of_me(p, eve.access_token) == 200
        await p.kernel.redis.call("FLUSHDB")
        assert (await eve.client.post("/api/v1/auth/logout")).status_code == 204
        await p.kernel.redis.call("FLUSHDB")
        assert await status_of_me(p, eve.access_token) == 401


async def test_row_22_sessions_are_listed_and_ended_one_by_one(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        others = [await log_in(p, eve.email) for _ in range(3)]
        page = (await eve.client.get("/api/v1/auth/sessions", params={"limit": 2})).json()
        rest = (await eve.client.get("/api/v1/auth/sessions", params={"cursor": page["next_cursor"]})).json()
        sessions = page["items"] + rest["items"]
        assert len(sessions) == 4
        assert sessions[0].keys() == {"id", "created_at", "last_seen_at", "ip", "user_agent", "current"}
        assert [session["current"] for session in sessions] == [False, False, False, True], "newest first"
        assert (sessions[0]["ip"], "httpx" in sessions[0]["user_agent"]) == ("127.0.0.1", True)
        victim = sessions[0]["id"]
        for expected in (204, 404):
            assert (await eve.client.delete(f"/api/v1/auth/sessions/{victim}")).status_code == expected
        assert await status_of_me(p, others[-1].access_token) == 401
        assert await status_of_me(p, others[0].access_token) == 200
        assert len((await eve.client.get("/api/v1/auth/sessions")).json()["items"]) == 3


async def test_row_48_nobody_ends_the_sessions_of_others(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve, mallory, root = (
            await sign_up(p, "eve"),
            await sign_up(p, "mallory"),
            await sign_up(p, "root", permissions=["*"]),
        )
        [session] = (await eve.client.get("/api/v1/auth/sessions")).json()["items"]
        for stranger in (mallory, root):
            assert (await stranger.client.delete(f"/api/v1/auth/sessions/{session['id']}")).status_code == 404
        assert await status_of_me(p, eve.access_token) == 200


async def _bearer(p: RunningPlatform, value: str) -> tuple[int, str, dict[str, str]]:
    async with p.new_client({"Authorization": value}) as client:
        answer = await client.get("/api/v1/users/me")
        document = answer.json()
        document.pop("request_id", None)
        return answer.status_code, answer.headers.get("www-authenticate", ""), document


async def test_every_bad_token_gets_the_same_answer(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        head, body, signature = eve.access_token.split(".")
        bad = [
            f"Bearer {head}.{body}.",
            f"Bearer {head}.{body}.{signature[::-1]}",
            f"Bearer {eve.refresh_token}",
            f"Bearer {'A' * 8000}",
            "Bearer",
            "Bearer ",
            "Basic ZXZlOmV2ZQ==",
            eve.access_token,
        ]
        answers = [await _bearer(p, value) for value in bad]
        assert all(answer == answers[0] for answer in answers), answers
        status, challenge, _ = answers[0]
        assert (status, challenge) == (401, 'Bearer error="invalid_token"')
        assert (await _bearer(p, f"bEaReR {eve.access_token}"))[0] == 200


async def test_row_11_a_header_of_a_megabyte_is_refused(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        assert (await _bearer(p, "Bearer " + "A" * 1_000_000))[0] in (401, 431)


async def test_row_12_a_token_in_the_address_is_no_token(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        for name in ("access_token", "token", "authorization", "bearer"):
            query = urllib.parse.urlencode({name: eve.access_token})
            assert (await p.client.get(f"/api/v1/users/me?{query}")).status_code in (401, 422)


async def test_row_4_no_connection_leaves_because_of_a_token(platform: PlatformFactory) -> None:
    import base64
    import json

    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(0.2)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/keys"
            _, body, signature = eve.access_token.split(".")
            for name in ("jku", "x5u"):
                header = json.dumps({"alg": "EdDSA", "typ": "at+jwt", "kid": "x", name: url}).encode()
                head = base64.urlsafe_b64encode(header).rstrip(b"=").decode()
                assert (await _bearer(p, f"Bearer {head}.{body}.{signature}"))[0] == 401
            with pytest.raises(TimeoutError):
                listener.accept()


async def test_row_10_deleted_disabled_and_reset_people_are_out_at_once_on_every_replica(
    platform: PlatformFactory,
) -> None:
    async with (
        platform(["user_management"], seed=essentials) as p,
        platform(["user_management"], beside=p) as q,
    ):
        root = await sign_up(p, "root", permissions=["*"])
        deleted, disabled, changed = [await sign_up(p, name) for name in ("deleted", "disabled", "changed")]
        elsewhere = await log_in(p, changed.email)
        everybody: list[Account] = [deleted, disabled, changed, elsewhere]
        for replica in (p, q):
            for account in everybody:
                assert await status_of_me(replica, account.access_token) == 200
        assert (await root.client.delete(f"/api/v1/users/{deleted.id}")).status_code == 204
        answer = await root.client.patch(f"/api/v1/users/{disabled.id}", json={"is_active": False})
        assert answer.json()["is_active"] is False
        body = {"current_password": changed.password, "new_password": "another long sentence"}
        assert (await changed.client.post("/api/v1/users/me/password", json=body)).status_code == 204
        for replica in (q, p):
            assert await status_of_me(replica, deleted.access_token) == 401
            assert await status_of_me(replica, disabled.access_token) == 401
            assert await status_of_me(replica, elsewhere.access_token) == 401
            assert await status_of_me(replica, changed.access_token) == 200
        for account in (deleted, disabled, elsewhere):
            assert (await refresh(p, account.refresh_token))[0] == 401
        await root.client.patch(f"/api/v1/users/{disabled.id}", json={"is_active": True})
        assert await status_of_me(p, disabled.access_token) == 401, "old sessions stay ended"
        assert (await log_in(p, disabled.email)).id == disabled.id
