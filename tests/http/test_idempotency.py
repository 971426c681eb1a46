import asyncio
import uuid

import pytest

from platform_core.http.idempotency import purge_idempotency_keys


def key():
    return {"Idempotency-Key": str(uuid.uuid4())}


def widget():
    return {"name": uuid.uuid4().hex}


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


async def test_a_reservation_whose_process_died_is_taken_over(rig, member):
    headers, body = key(), widget()
    await member.post("/widgets", json=body, headers=headers)
    await rig.sql("DELETE FROM shop.widgets WHERE name = %(name)s", **body)
    await rig.sql("UPDATE platform.idempotency_keys SET status = NULL, locked_until = now() + interval '9 s'")
    running = await member.post("/widgets", json=body, headers=headers)
    assert running.status_code == 409
    await rig.sql("UPDATE platform.idempotency_keys SET locked_until = now() - interval '1 s'")
    taken_over = await member.post("/widgets", json=body, headers=headers)
    assert taken_over.status_code == 201
    assert "idempotent-replayed" not in taken_over.headers


async def test_whoever_lost_the_reservation_stores_neither_effect_nor_answer(rig, member):
    headers, body = key(), widget()
    overtaken = False

    async def slow():
        nonlocal overtaken
        if not overtaken:
            overtaken = True
            await rig.sql("UPDATE platform.idempotency_keys SET locked_until = now() - interval '1 s'")
            assert (await member.post("/widgets", json=body, headers=headers)).status_code == 201

    rig.bus.before_commit_pause = slow
    late = await member.post("/widgets", json=body, headers=headers)
    assert late.status_code == 409
    assert await count(rig, body) == 1
    assert (await member.post("/widgets", json=body, headers=headers)).status_code == 201


async def test_keys_are_forgotten_after_their_time(rig, member):
    headers, body = key(), widget()
    await member.post("/widgets", json=body, headers=headers)
    await rig.sql("UPDATE platform.idempotency_keys SET created_at = now() - interval '25 hours'")
    assert await purge_idempotency_keys(rig.pools, 24, batch_count=2) > 0
    assert (await rig.sql("SELECT count(*) FROM platform.idempotency_keys"))[0][0] == 0
    again = await member.post("/widgets", json=body, headers=headers)
    assert again.json()["type"] == "/problems/widget-taken"


async def test_an_expired_key_that_nobody_purged_yet_is_free(rig, member):
    headers = key()
    await member.post("/widgets", json=widget(), headers=headers)
    await rig.sql("UPDATE platform.idempotency_keys SET created_at = now() - interval '25 hours'")
    other = await member.post("/widgets", json=widget(), headers=headers)
    assert other.status_code == 201


async def test_a_key_on_other_methods_does_nothing(member):
    headers = key()
    assert (await member.get("/widgets", headers=headers)).status_code == 200
    assert (await member.get("/widgets?limit=1", headers=headers)).status_code == 200
