"""UC1 to UC6 as clients see them who know the public address and nothing else; each in the order of the design."""

from __future__ import annotations

import io
import secrets
from typing import TYPE_CHECKING, Any

import httpx2
from PIL import Image
from topology_rig.people import PASSWORD, People
from topology_rig.surroundings import SIGNATURE

from platform_core.testing import eventually

if TYPE_CHECKING:
    from topology_rig.site import Site

WITHIN = 180.0
"""Seconds for what workers do; machines that run other things besides take their time."""


def picture() -> bytes:
    out = io.BytesIO()
    Image.effect_noise((1600, 1000), 60).convert("RGB").save(out, "PNG")
    return out.getvalue()


async def test_uc1_who_registers_is_welcomed_and_finds_a_folder_and_a_project(people: People) -> None:
    eve = await people.register("eve")
    assert (await eve.get("/users/me"))["roles"] == ["member"]
    again = {"email": eve.email.upper(), "username": "another", "password": PASSWORD}
    taken = await eve.client.post("/users/register", json=again)
    assert (taken.status_code, taken.json()["type"]) == (409, "/problems/email-taken")

    async def welcomed() -> bool:
        return any("elcome" in subject for subject in people.site.mail.to(eve.email))

    async def furnished() -> bool:
        projects, folders = await eve.get("/projects"), await eve.get("/folders/root/children")
        return bool(projects["items"]) and bool(folders["items"])

    await eventually(welcomed, within_seconds=WITHIN)
    await eventually(furnished, within_seconds=WITHIN)


async def test_uc2_a_picture_gets_its_thumbnail_and_what_the_scanner_knows_is_refused(people: People) -> None:
    eve, content = await people.register("eve"), picture()
    answer = await eve.upload("sunset.png", content)
    assert answer.status_code == 201, answer.text
    file = answer.json()
    assert file["processing"] is True

    async def processed() -> bool:
        return bool((await eve.get(f"/files/{file['id']}"))["has_thumbnail"])

    await eventually(processed, within_seconds=WITHIN)
    thumbnail = await eve.client.get(f"/files/{file['id']}/thumbnail")
    assert (thumbnail.headers["content-type"], thumbnail.content[8:12]) == ("image/webp", b"WEBP")
    part = await eve.client.get(f"/files/{file['id']}/content", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, content[10:20])

    ten = secrets.token_bytes(10 * 1024 * 1024)
    large = await eve.upload("large.bin", ten)
    assert large.status_code == 201, large.text
    assert (await eve.client.get(f"/files/{large.json()['id']}/content")).content == ten
    refused = await eve.upload("invoice.pdf", b"x" * 5000 + SIGNATURE)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/infected-file")


async def test_uc3_who_is_given_a_task_finds_it_in_the_inbox_and_in_the_mail(people: People) -> None:
    eve, ben, mia = [await people.register(name) for name in ("eve", "ben", "mia")]
    project = await eve.post("/projects", json={"name": "A bridge"})
    await eve.post(f"/projects/{project['id']}/members", json={"user_id": ben.id, "role": "member"})
    title = f"Count the bolts {secrets.token_hex(3)}"
    stranger = {"title": title, "assignee_id": mia.id}
    assert (await eve.client.post(f"/projects/{project['id']}/tasks", json=stranger)).status_code == 422
    assert (await mia.client.get(f"/projects/{project['id']}/tasks")).status_code == 404
    task = await eve.post(f"/projects/{project['id']}/tasks", json={"title": title, "assignee_id": ben.id})
    assert (task["status"], task["assignee_id"]) == ("todo", ben.id)

    async def told() -> bool:
        inbox = (await ben.get("/notifications"))["items"]
        return any(title in f"{one['title']} {one['body']}" for one in inbox)

    async def mailed() -> bool:
        return any(title in subject for subject in people.site.mail.to(ben.email))

    await eventually(told, within_seconds=WITHIN)
    await eventually(mailed, within_seconds=WITHIN)


async def test_uc4_a_login_is_known_to_every_process_and_its_end_as_well(people: People) -> None:
    eve = await people.register("eve")
    wrong = await eve.client.post("/auth/login", json={"email": eve.email, "password": "not the one"})
    assert (wrong.status_code, wrong.json()["type"]) == (401, "/problems/invalid-credentials")
    assert (await eve.get("/users/me"))["last_login_at"] is not None
    [session] = (await eve.get("/auth/sessions"))["items"]
    assert session["ip"] == "127.0.0.1", "the client's address, as nginx tells it"
    assert (await eve.client.post("/auth/logout")).status_code == 204
    statuses = {(await eve.client.get("/users/me")).status_code for _ in range(8)}
    assert statuses == {401}, "both processes"


async def test_uc5_a_seat_is_paid_for_and_what_is_declined_takes_none(people: People) -> None:
    administrator, eve = await people.administrator(), await people.register("eve")
    price = {"amount": "49.90", "currency": "EUR"}
    course = await administrator.post("/courses", json={"title": "Maps", "price": price, "capacity": 3})
    body = {"course_id": course["id"], "payment_token": "tok_ok"}
    key = {"Idempotency-Key": secrets.token_hex(8)}
    order = await eve.post("/orders/purchase", json=body, headers=key)
    assert order["status"] == "completed"
    replayed = await eve.client.post("/orders/purchase", json=body, headers=key)
    assert (replayed.json(), replayed.headers["idempotent-replayed"]) == (order, "true")
    assert [seat["course_id"] for seat in (await eve.get("/enrolments"))["items"]] == [course["id"]]
    again = await eve.client.post("/orders/purchase", json=body)
    assert again.status_code == 409
    ben = await people.register("ben")
    declined = await ben.client.post("/orders/purchase", json=body | {"payment_token": "tok_declined"})
    assert (declined.status_code, declined.json()["type"]) == (402, "/problems/payment-declined")
    assert (await ben.get("/enrolments"))["items"] == []

    async def confirmed() -> bool:
        return any("Maps" in subject for subject in people.site.mail.to(eve.email))

    await eventually(confirmed, within_seconds=WITHIN)
    ledger = httpx2.get(f"{people.site.gateway.url}/ledger", trust_env=False).json()
    assert [entry["kind"] for entry in ledger if entry["key"] == order["id"]] == ["charge"]


async def test_uc6_a_post_is_written_on_one_side_and_read_from_the_other(people: People) -> None:
    eve, ben = await people.register("eve"), await people.register("ben")
    body = "How *not* to get lost.\n\n<script>alert(1)</script>"
    draft = await eve.post("/posts", json={"title": "Reading maps", "body": body, "tags": ["maps"]})
    assert (await ben.client.get(f"/posts/{draft['id']}")).status_code == 404
    await eve.post(f"/posts/{draft['id']}/publish", status=200)
    assert (await eve.get(f"/posts/{draft['id']}"))["published_at"] is not None, "the author's own change"

    async def readable() -> bool:
        answer = await ben.client.get(f"/posts/{draft['id']}")
        return answer.status_code == 200 and "<em>not</em>" in answer.json()["body_html"]

    await eventually(readable, within_seconds=WITHIN)
    assert "<script>" not in (await ben.client.get(f"/posts/{draft['id']}")).text
    await eve.post(f"/posts/{draft['id']}/comments", json={"body": "Me neither."})

    async def counted() -> bool:
        return bool((await ben.get(f"/posts/{draft['id']}"))["comment_count"] == 1)

    await eventually(counted, within_seconds=WITHIN)


async def test_a_client_meets_only_what_the_front_lets_through(site: Site, people: People) -> None:
    assert site.front.check() == ""
    plain = httpx2.get(f"{site.front.plain_url}/api/v1/posts?limit=3", trust_env=False)
    assert (plain.status_code, plain.headers["location"]) == (308, "https://localhost/api/v1/posts?limit=3")
    visitor = await people.visitor()
    answer = await visitor.get("/users/me")
    assert answer.status_code == 401
    assert "max-age" in answer.headers["strict-transport-security"]
    assert answer.http_version == "HTTP/1.1"
    headers = {name.lower(): value for name, value in answer.headers.items()}
    assert headers.get("server") == "nginx", "no version"
    for path in ("/metrics", "/health/ready"):
        shown = await visitor.get(f"{site.front.url}{path}")
        assert (shown.status_code, "checks" in shown.text) in ((404, False), (200, False))
    huge = await visitor.post("/users/register", content=b"x" * 3_000_000)
    assert (huge.status_code, _problem(huge)) == (413, "/problems/body-too-large")
    elsewhere = await visitor.get("/users/me", headers={"Host": "evil.example"})
    assert elsewhere.status_code == 400


def _problem(answer: httpx2.Response) -> Any:
    assert answer.headers["content-type"].startswith("application/problem+json"), answer.text
    return answer.json()["type"]
