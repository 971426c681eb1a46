"""An administrator's own wording, over HTTP."""

from __future__ import annotations

from typing import Any

from platform_core.testing import PlatformFactory
from user_management.testing import essentials, sign_up

MODULES = ["user_management", "notification"]
URL = "/api/v1/notifications/templates"
RESET = {"kind": "user_management.password_reset_requested", "channel": "email", "locale": "en"}
MINE = RESET | {
    "subject": "A new password at {{ site_name }}",
    "text": "Dear {{ name }},\n{{ link }}\n",
    "html": "<p>Dear {{ name }}, <a href='{{ link }}'>here</a></p>",
}


async def test_own_wording_is_made_read_replaced_and_taken_back(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        admin = (await sign_up(p, "editor", permissions=["notifications:write"])).client
        made = await admin.post(URL, json=MINE)
        assert made.status_code == 201, made.text
        own = f"{URL}/{made.json()['id']}"
        assert {**MINE, **made.json()} == made.json()
        assert (await admin.get(own)).json() == made.json()
        assert (await admin.get(URL)).json() == {"items": [made.json()], "next_cursor": None}
        changed = await admin.put(own, json=MINE | {"subject": "Reset", "html": None})
        assert (changed.status_code, changed.json()["subject"], changed.json()["html"]) == (
            200,
            "Reset",
            None,
        )
        assert (await admin.delete(own)).status_code == 204
        assert (await admin.get(own)).status_code == 404
        assert (await admin.put(own, json=MINE)).status_code == 404
        assert (await admin.post(URL, json=MINE)).status_code == 201, "there may be one again"


async def test_own_wording_is_what_people_get_until_it_is_taken_back(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        admin = await sign_up(p, "editor", permissions=["notifications:write"])
        own = (await admin.client.post(URL, json=MINE)).json()["id"]
        await p.client.post("/api/v1/auth/password-reset", json={"email": admin.email})
        await p.deliver()
        assert p.mails[0].subject == "A new password at Platform Core"
        assert "token=" in (p.mails[0].text or "")
        await admin.client.delete(f"{URL}/{own}")
        await p.client.post("/api/v1/auth/password-reset", json={"email": admin.email})
        await p.deliver()
        assert p.mails[0].subject == "Choose a new password for Platform Core"


async def test_own_wording_may_begin_with_the_built_in_one(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        admin = (await sign_up(p, "editor", permissions=["notifications:write"])).client
        made = await admin.post(URL, json=RESET | {"locale": "DE"})
        assert made.status_code == 201, made.text
        assert made.json()["locale"] == "de"
        assert made.json()["subject"] == "Neues Passwort für {{ site_name }}"
        assert "{{ link }}" in made.json()["html"]
        nothing = await admin.post(URL, json=RESET | {"locale": "fr"})
        assert nothing.status_code == 422
        assert nothing.json()["errors"][0]["pointer"] == "/body/subject"


async def test_there_is_one_wording_for_each_kind_channel_and_language(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        admin = (await sign_up(p, "editor", permissions=["notifications:write"])).client
        assert (await admin.post(URL, json=MINE)).status_code == 201
        again = await admin.post(URL, json=MINE)
        assert (again.status_code, again.json()["type"]) == (409, "/problems/template-taken")
        other = await admin.post(URL, json=MINE | {"locale": "de"})
        moved = await admin.put(f"{URL}/{other.json()['id']}", json=MINE)
        assert moved.status_code == 409


async def test_a_preview_shows_invented_values_and_drafts(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        admin = (await sign_up(p, "editor", permissions=["notifications:write"])).client
        own = f"{URL}/{(await admin.post(URL, json=MINE)).json()['id']}/preview"
        shown = await admin.post(own)
        assert shown.status_code == 200, shown.text
        assert shown.json()["subject"] == "A new password at Platform Core"
        assert "token=preview" in shown.json()["text"]
        assert "<!doctype html>" in shown.json()["html"]
        draft = await admin.post(own, json={"text": "Hi {{ name }}", "data": {"name": "<Bob>"}})
        assert draft.json()["text"] == "Hi <Bob>"
        assert "Dear &lt;Bob&gt;" in draft.json()["html"]
        broken = await admin.post(own, json={"text": "a\nb {{ config }}"})
        assert broken.status_code == 422
        assert broken.json()["type"] == "/problems/invalid-template"
        assert broken.json()["errors"][0]["pointer"] == "/body/text"
        assert broken.json()["errors"][0]["message"].startswith("line 2: ")


async def test_an_attack_is_not_stored(platform: PlatformFactory) -> None:
    attacks = ["{{ 7*7 }}", "{{ config }}", "{{ name.__class__.__mro__ }}", "{% import 'os' as o %}"]
    async with platform(MODULES, seed=essentials) as p:
        admin = (await sign_up(p, "editor", permissions=["notifications:write"])).client
        for part in ("subject", "text", "html"):
            for attack in attacks:
                answer = await admin.post(URL, json=MINE | {part: attack})
                assert answer.status_code == 422, answer.text
                assert answer.json()["errors"][0]["pointer"] == f"/body/{part}"
        assert (await admin.get(URL)).json()["items"] == []


async def test_what_cannot_be_rendered_is_neither_stored_nor_a_defect(platform: PlatformFactory) -> None:
    """Stored, it would keep everybody from hearing of its kind."""
    broken = ["{{ name|truncate('x') }}", "{{ name|upper(3) }}", "{% if 1 < name %}{% endif %}"]
    broken += ["{% for loop in name %}{% endfor %}", "{{ name is none(3) }}", "{{ " + "9" * 5000 + " }}"]
    async with platform(MODULES, seed=essentials) as p:
        admin = (await sign_up(p, "editor", permissions=["notifications:write"])).client
        own = f"{URL}/{(await admin.post(URL, json=MINE)).json()['id']}"
        for text in broken:
            for answer in (
                await admin.post(URL, json=MINE | {"locale": "de", "text": text}),
                await admin.put(own, json=MINE | {"text": text}),
                await admin.post(f"{own}/preview", json={"text": text}),
            ):
                assert answer.status_code == 422, (text, answer.text)
                assert answer.json()["errors"][0]["pointer"] == "/body/text"
        looped = {"text": "{% for letter in name %}{{ letter }}{% endfor %}", "data": {"name": 5}}
        assert (await admin.post(f"{own}/preview", json=looped)).status_code == 422


async def test_a_wrong_template_is_refused_with_its_place(platform: PlatformFactory) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"kind": "no.such"}, "/body/kind"),
        ({"channel": "pigeon"}, "/body/channel"),
        ({"locale": "de!"}, "/body/locale"),
        ({"subject": "x" * 201}, "/body/subject"),
        ({"subject": "{{ link }}"}, "/body/subject"),
        ({"id": "x"}, "/body/id"),
    ]
    async with platform(MODULES, seed=essentials) as p:
        admin = (await sign_up(p, "editor", permissions=["notifications:write"])).client
        for changes, pointer in wrong:
            answer = await admin.post(URL, json=MINE | changes)
            assert answer.status_code == 422, answer.text
            assert answer.json()["errors"][0]["pointer"] == pointer


async def test_templates_need_the_right_to_write_and_logs_the_right_to_read(
    platform: PlatformFactory,
) -> None:
    async with platform(MODULES, seed=essentials) as p:
        eve = (await sign_up(p, "eve")).client
        admin = (await sign_up(p, "editor", permissions=["notifications:write"])).client
        reader = (await sign_up(p, "reader", permissions=["notifications:read"])).client
        own = f"{URL}/{(await admin.post(URL, json=MINE)).json()['id']}"
        for client, status in ((p.client, 401), (eve, 403), (reader, 403)):
            for method, url in (
                ("GET", URL),
                ("POST", URL),
                ("GET", own),
                ("PUT", own),
                ("DELETE", own),
                ("POST", f"{own}/preview"),
            ):
                answer = await client.request(method, url, json={} if method in ("POST", "PUT") else None)
                assert answer.status_code == status, (method, url, answer.text)
        log = "/api/v1/notifications/email-logs"
        assert [(await c.get(log)).status_code for c in (p.client, eve, admin, reader)] == [
            401,
            403,
            403,
            200,
        ]


async def test_the_log_shows_what_became_of_each_mail_and_never_its_text(platform: PlatformFactory) -> None:
    async with platform(MODULES, seed=essentials) as p:
        reader = (await sign_up(p, "reader", permissions=["notifications:read"])).client
        for name in ("ada", "ben", "cleo"):
            body = {"email": f"{name}@example.org", "username": name, "password": "a long enough sentence"}
            assert (await p.client.post("/api/v1/users/register", json=body)).status_code == 201
        await p.deliver()
        first = (await reader.get("/api/v1/notifications/email-logs?limit=2")).json()
        rest = (
            await reader.get("/api/v1/notifications/email-logs", params={"cursor": first["next_cursor"]})
        ).json()
        items = first["items"] + rest["items"]
        assert len(first["items"]) == 2
        assert [item["id"] for item in items] == sorted((item["id"] for item in items), reverse=True)
        assert {item["recipient"] for item in items} >= {
            "ada@example.org",
            "ben@example.org",
            "cleo@example.org",
        }
        assert items[0].keys() == {
            "id",
            "recipient",
            "subject",
            "status",
            "attempts",
            "error",
            "message_id",
            "sent_at",
        }
        assert (items[0]["status"], items[0]["attempts"], items[0]["subject"]) == (
            "sent",
            1,
            "Welcome to Platform Core",
        )
