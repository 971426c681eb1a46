import asyncio
import uuid

import pytest

from platform_core.http.idempotency import purge_idempotency_keys


def key():
    return {"Idempotency-Key": str(uuid.uuid4())}


def widget():
    return {"name": uuid.uuid4().hex}


async def grow_older(rig, seconds):
    """Let so much time pass for everything that Redis and PostgreSQL remember of keys."""
    for mark in await rig.gate.redis.call("KEYS", "platform:once:*"):
        begun = float(await rig.gate.redis.call("GET", mark)) - seconds
        await rig.gate.redis.call("SET", mark, f"{begun:.3f}", "KEEPTTL")
    await rig.sql(
        "UPDATE platform.idempotency_keys SET created_at = created_at - make_interval(secs => %(s)s),"
        " locked_until = locked_until - make_interval(secs => %(s)s)",
        s=seconds,
    )


async def forget(rig):
    """Take from Redis what it remembers of keys."""
    for mark in await rig.gate.redis.call("KEYS", "platform:once:*"):
        await rig.gate.redis.call("DEL", mark)


async def count(rig, body):
    return (await rig.sql("SELECT count(*) FROM shop.widgets WHERE name = %(name)s", **body))[0][0]


async def test_the_same_key_and_body_have_one_effect_and_the_first_answer_again(rig, member):
    headers, body = key(), widget()
    first = await member.post("/widgets", json=body, headers=headers)
    again = await member.post("/widgets", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["content-type"] == "application/json"
    assert await count(rig, body) == 1


async def test_json_counts_by_its_content_not_its_spelling(member):
    headers, name = key(), uuid.uuid4().hex
    first = await member.post("/widgets", json={"name": name, "colour": "red"}, headers=headers)
    spelt = f'{{ "colour":"red",\n "name":"{name}"}}'
    again = await member.post(
        "/widgets", content=spelt, headers={**headers, "Content-Type": "application/json"}
    )
    assert again.content == first.content


async def test_the_same_key_with_another_request_is_422(member):
    headers = key()
    await member.post("/widgets", json=widget(), headers=headers)
    for path in ("/widgets", "/widgets?x=1"):
        other = await member.post(path, json=widget(), headers=headers)
        assert other.status_code == 422
        assert other.json()["type"] == "/problems/idempotency-key-reused"


async def test_a_key_belongs_to_its_caller_and_route(rig, member):
    headers = key()
    answers = [
        await member.post("/widgets", json=widget(), headers=headers),
        await member.post("/widgets/located", json=widget(), headers=headers),
    ]
    async with rig.client(token=await rig.log_in()) as other:
        answers.append(await other.post("/widgets", json=widget(), headers=headers))
    async with rig.client(ip="192.0.2.1") as one, rig.client(ip="192.0.2.2") as two:
        answers.append(await one.post("/sign-up", json=widget(), headers=headers))
        answers.append(await two.post("/sign-up", json=widget(), headers=headers))
    assert [answer.status_code for answer in answers] == [201] * 5
    assert not any("idempotent-replayed" in answer.headers for answer in answers)


async def test_twenty_at_once_have_one_effect(rig, member):
    headers, body = key(), widget()
    answers = await asyncio.gather(*(member.post("/widgets", json=body, headers=headers) for _ in range(20)))
    made = [answer for answer in answers if answer.status_code == 201]
    waiting = [answer for answer in answers if answer.status_code == 409]
    assert len(made) + len(waiting) == 20
    assert len({answer.content for answer in made}) == 1
    assert all(answer.json()["type"] == "/problems/request-in-progress" for answer in waiting)
    assert all(answer.headers["retry-after"] == "1" for answer in waiting)
    assert await count(rig, body) == 1
    last = await member.post("/widgets", json=body, headers=headers)
    assert last.content == made[0].content


async def test_an_answer_lost_between_commit_and_client_is_given_again(rig, member):
    headers, body = key(), widget()
    crashed = await member.post("/widgets/crash", json=body, headers=headers)
    assert crashed.status_code == 500
    again = await member.post("/widgets/crash", json=body, headers=headers)
    assert again.status_code == 201
    assert again.headers["idempotent-replayed"] == "true"
    stored = await rig.sql("SELECT id::text FROM shop.widgets WHERE name = %(name)s", **body)
    assert stored == [(again.json()["id"],)]


async def test_headers_that_the_route_sets_after_its_command_come_again_too(member):
    headers, body = key(), widget()
    first = await member.post("/widgets/located", json=body, headers=headers)
    again = await member.post("/widgets/located", json=body, headers=headers)
    assert again.headers["location"] == first.headers["location"] == f"/api/v1/widgets/{first.json()['id']}"


async def test_a_final_refusal_is_given_again_and_a_passing_one_is_not(rig, member):
    body = widget()
    await member.post("/widgets", json=body)
    headers = key()
    taken = await member.post("/widgets", json=body, headers=headers)
    await rig.sql("DELETE FROM shop.widgets WHERE name = %(name)s", **body)
    again = await member.post("/widgets", json=body, headers=headers)
    assert (taken.status_code, again.status_code) == (409, 409)
    assert taken.json()["type"] == "/problems/widget-taken"
    assert again.content == taken.content
    assert again.headers["content-type"] == "application/problem+json"


async def test_a_refusal_whose_traces_stay_is_stored_with_them(rig, member):
    headers, body = key(), widget()
    first = await member.post("/widgets/refuse", json=body, headers=headers)
    again = await member.post("/widgets/refuse", json=body, headers=headers)
    assert (first.status_code, again.headers["idempotent-replayed"]) == (409, "true")
    assert await count(rig, body) == 1


async def test_a_403_is_decided_anew_each_time(rig, member):
    headers = key()
    for _ in range(2):
        await rig.sql("DELETE FROM shop.widgets WHERE name = 'forbidden'")
        answer = await member.post("/widgets/refuse", json={"name": "forbidden"}, headers=headers)
        assert answer.status_code == 403
        assert "idempotent-replayed" not in answer.headers


async def test_a_validation_error_does_not_use_up_the_key(member):
    headers = key()
    assert (await member.post("/widgets", json={}, headers=headers)).status_code == 422
    assert (await member.post("/widgets", json=widget(), headers=headers)).status_code == 201


async def test_a_route_without_a_command_is_repeated_from_store_too(member):
    headers, body = key(), widget()
    first = await member.post("/sign-up", json=body, headers=headers)
    again = await member.post("/sign-up", json=body, headers=headers)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["cache-control"] == "no-store"


async def test_nothing_readable_is_stored(rig, member):
    headers, body = {"Idempotency-Key": f"raw-key-{uuid.uuid4()}"}, widget()
    await member.post("/sign-up", json=body, headers=headers)
    rows = await rig.sql("SELECT k::text, encode(body, 'escape') FROM platform.idempotency_keys k")
    dump = str(rows)
    assert body["name"] not in dump
    assert headers["Idempotency-Key"] not in dump


async def test_an_upload_is_recognised_although_each_try_has_a_new_boundary(visitor):
    headers = key()
    first = await visitor.post("/upload", files={"file": ("a.txt", b"same")}, headers=headers)
    again = await visitor.post("/upload", files={"file": ("a.txt", b"same")}, headers=headers)
    other = await visitor.post("/upload", files={"file": ("a.txt", b"else")}, headers=headers)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json() == {"name": "a.txt", "size": 4}
    assert other.status_code == 422


@pytest.mark.parametrize("value", ["", "a" * 256, "a b", "a\tb", "schlüssel".encode()])
async def test_a_key_is_1_to_255_visible_characters(member, value):
    answer = await member.post("/widgets", json=widget(), headers={"Idempotency-Key": value})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/header/Idempotency-Key"


@pytest.mark.parametrize("redis_is_there", [True, False])
async def test_a_reservation_whose_process_died_is_taken_over(rig, member, redis_is_there):
    headers, body = key(), widget()
    if not redis_is_there:
        rig.gate.redis._open_until = float("inf")
    dying = asyncio.Event()

    async def die():
        if not dying.is_set():
            dying.set()
            await asyncio.Event().wait()

    rig.bus.before_commit_pause = die
    doomed = asyncio.create_task(member.post("/widgets", json=body, headers=headers))
    await dying.wait()
    running = await member.post("/widgets", json=body, headers=headers)
    assert (running.status_code, running.json()["type"]) == (409, "/problems/request-in-progress")
    rig.gate.redis._open_until = 0.0
    await grow_older(rig, 21)
    rig.gate.redis._open_until = 0.0 if redis_is_there else float("inf")
    taken_over = await member.post("/widgets", json=body, headers=headers)
    assert taken_over.status_code == 201
    assert "idempotent-replayed" not in taken_over.headers
    doomed.cancel()
    await asyncio.gather(doomed, return_exceptions=True)


@pytest.mark.parametrize("what_happens", ["its time runs out", "Redis forgets"])
async def test_whoever_was_overtaken_stores_nothing_and_gets_the_answer_of_the_other(
    rig, member, what_happens
):
    headers, body = key(), widget()
    others = []

    async def slow():
        if not others:
            others.append(None)
            await (grow_older(rig, 21) if what_happens == "its time runs out" else forget(rig))
            others[0] = await member.post("/widgets", json=body, headers=headers)

    rig.bus.before_commit_pause = slow
    late = await member.post("/widgets", json=body, headers=headers)
    assert (others[0].status_code, late.status_code) == (201, 201)
    assert late.content == others[0].content
    assert late.headers["idempotent-replayed"] == "true"
    assert await count(rig, body) == 1


async def test_what_redis_forgot_postgresql_still_knows(rig, member):
    headers, body = key(), widget()
    first = await member.post("/widgets", json=body, headers=headers)
    await forget(rig)
    again = await member.post("/widgets", json=body, headers=headers)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    await forget(rig)
    other = await member.post("/widgets", json=widget(), headers=headers)
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")
    [error] = other.json()["errors"]  # every 422 points at something, if only at the whole
    assert (error["pointer"], error["code"]) == ("/body", "idempotency-key-reused")


async def test_twenty_at_once_have_one_effect_while_redis_forgets_again_and_again(rig, member):
    headers, body = key(), widget()

    async def send():
        await forget(rig)
        return await member.post("/widgets", json=body, headers=headers)

    answers = await asyncio.gather(*(send() for _ in range(20)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert await count(rig, body) == 1


async def test_what_was_refused_before_it_began_leaves_no_mark(rig, member, visitor):
    await forget(rig)
    headers = key()
    for client, path, body, status in (
        (visitor, "/widgets", widget(), 401),
        (member, "/widgets", {}, 422),
        (member, "/nowhere", widget(), 404),
    ):
        answer = await client.post(path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
    assert await rig.gate.redis.call("KEYS", "platform:once:*") == []


async def test_a_repeat_that_comes_too_often_takes_nobody_elses_mark_away(build):
    rig = await build(PLATFORM_RATE_LIMIT_USER="2/minute")
    headers, body = key(), widget()
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slow():
        begun.set()
        await may_end.wait()

    rig.bus.before_commit_pause = slow
    async with rig.client(token=await rig.log_in()) as client:
        first = asyncio.create_task(client.post("/widgets", json=body, headers=headers))
        await begun.wait()
        marks = await rig.gate.redis.call("KEYS", "platform:once:*")
        found = [(await client.post("/widgets", json=body, headers=headers)).status_code for _ in range(2)]
        assert found == [409, 429]
        assert await rig.gate.redis.call("KEYS", "platform:once:*") == marks
        may_end.set()
        assert (await first).status_code == 201


async def test_keys_are_forgotten_after_their_time(rig, member):
    headers, body = key(), widget()
    await member.post("/widgets", json=body, headers=headers)
    await grow_older(rig, 25 * 3600)
    assert await purge_idempotency_keys(rig.pools, 24, batch_count=2) > 0
    assert (await rig.sql("SELECT count(*) FROM platform.idempotency_keys"))[0][0] == 0
    again = await member.post("/widgets", json=body, headers=headers)
    assert again.json()["type"] == "/problems/widget-taken"


@pytest.mark.parametrize("redis_remembers", [True, False])
async def test_an_expired_key_that_nobody_purged_yet_is_free(rig, member, redis_remembers):
    headers = key()
    await member.post("/widgets", json=widget(), headers=headers)
    await grow_older(rig, 25 * 3600)
    if not redis_remembers:
        await forget(rig)
    other = await member.post("/widgets", json=widget(), headers=headers)
    assert other.status_code == 201
    assert "idempotent-replayed" not in other.headers


async def test_a_key_on_other_methods_does_nothing(member):
    headers = key()
    assert (await member.get("/widgets", headers=headers)).status_code == 200
    assert (await member.get("/widgets?limit=1", headers=headers)).status_code == 200
