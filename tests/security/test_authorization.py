"""Rows 47-55 and 57: who may call what, generated from `/openapi.json`, and what comes out of it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from attacks import API, MODULES, UNKNOWN, Operation, document, operations, resolved

from platform_core.testing import PlatformFactory, RunningPlatform
from user_management.testing import PASSWORD, Account, essentials, sign_up

PUBLIC, ANYBODY = "public", "anybody"

TABLE: dict[str, str] = {
    "GET /.well-known/jwks.json": PUBLIC,
    "POST /api/v1/auth/login": PUBLIC,
    "POST /api/v1/auth/logout": ANYBODY,
    "POST /api/v1/auth/password-reset": PUBLIC,
    "POST /api/v1/auth/password-reset/confirm": PUBLIC,
    "POST /api/v1/auth/refresh": PUBLIC,
    "GET /api/v1/auth/sessions": ANYBODY,
    "DELETE /api/v1/auth/sessions/{session_id}": ANYBODY,
    "POST /api/v1/auth/verify-email": PUBLIC,
    "POST /api/v1/auth/verify-email/resend": ANYBODY,
    "GET /api/v1/comments/{comment_id}": ANYBODY,
    "PATCH /api/v1/comments/{comment_id}": ANYBODY,
    "DELETE /api/v1/comments/{comment_id}": ANYBODY,
    "GET /api/v1/courses": ANYBODY,
    "POST /api/v1/courses": "courses:write",
    "GET /api/v1/courses/{course_id}": ANYBODY,
    "GET /api/v1/enrolments": ANYBODY,
    "GET /api/v1/files": ANYBODY,
    "GET /api/v1/files/quota": ANYBODY,
    "POST /api/v1/files/upload": ANYBODY,
    "OPTIONS /api/v1/files/uploads": PUBLIC,
    "POST /api/v1/files/uploads": ANYBODY,
    "GET /api/v1/files/uploads/{upload_id}": ANYBODY,
    "PATCH /api/v1/files/uploads/{upload_id}": ANYBODY,
    "DELETE /api/v1/files/uploads/{upload_id}": ANYBODY,
    "GET /api/v1/files/{file_id}": ANYBODY,
    "PATCH /api/v1/files/{file_id}": ANYBODY,
    "DELETE /api/v1/files/{file_id}": ANYBODY,
    "GET /api/v1/files/{file_id}/content": ANYBODY,
    "GET /api/v1/files/{file_id}/permissions": ANYBODY,
    "PUT /api/v1/files/{file_id}/permissions/{user_id}": ANYBODY,
    "DELETE /api/v1/files/{file_id}/permissions/{user_id}": ANYBODY,
    "POST /api/v1/files/{file_id}/restore": ANYBODY,
    "GET /api/v1/files/{file_id}/thumbnail": ANYBODY,
    "GET /api/v1/files/{file_id}/versions": ANYBODY,
    "POST /api/v1/files/{file_id}/versions": ANYBODY,
    "GET /api/v1/files/{file_id}/versions/{number}/content": ANYBODY,
    "POST /api/v1/files/{file_id}/versions/{number}/restore": ANYBODY,
    "POST /api/v1/folders": ANYBODY,
    "GET /api/v1/folders/root/children": ANYBODY,
    "GET /api/v1/folders/{folder_id}": ANYBODY,
    "PATCH /api/v1/folders/{folder_id}": ANYBODY,
    "DELETE /api/v1/folders/{folder_id}": ANYBODY,
    "GET /api/v1/folders/{folder_id}/children": ANYBODY,
    "GET /api/v1/notifications": ANYBODY,
    "GET /api/v1/notifications/devices": ANYBODY,
    "POST /api/v1/notifications/devices": ANYBODY,
    "DELETE /api/v1/notifications/devices/{device_id}": ANYBODY,
    "GET /api/v1/notifications/email-logs": "notifications:read",
    "GET /api/v1/notifications/preferences": ANYBODY,
    "PUT /api/v1/notifications/preferences": ANYBODY,
    "GET /api/v1/notifications/push-key": ANYBODY,
    "GET /api/v1/notifications/stream": ANYBODY,
    "GET /api/v1/notifications/templates": "notifications:write",
    "POST /api/v1/notifications/templates": "notifications:write",
    "GET /api/v1/notifications/templates/{template_id}": "notifications:write",
    "PUT /api/v1/notifications/templates/{template_id}": "notifications:write",
    "DELETE /api/v1/notifications/templates/{template_id}": "notifications:write",
    "POST /api/v1/notifications/templates/{template_id}/preview": "notifications:write",
    "GET /api/v1/notifications/unread-count": ANYBODY,
    "POST /api/v1/notifications/read-all": ANYBODY,
    "POST /api/v1/notifications/{notification_id}/read": ANYBODY,
    "DELETE /api/v1/notifications/{notification_id}": ANYBODY,
    "GET /api/v1/orders": ANYBODY,
    "POST /api/v1/orders/purchase": ANYBODY,
    "GET /api/v1/orders/{order_id}": ANYBODY,
    "GET /api/v1/permissions": ANYBODY,
    "GET /api/v1/platform/audit-logs": "platform:read",
    "GET /api/v1/platform/deliveries": "platform:read",
    "POST /api/v1/platform/deliveries/{delivery_id}/retry": "platform:write",
    "GET /api/v1/platform/events": "platform:read",
    "GET /api/v1/platform/modules": "platform:read",
    "GET /api/v1/platform/sagas": "platform:read",
    "GET /api/v1/platform/sagas/{saga_id}": "platform:read",
    "POST /api/v1/platform/sagas/{saga_id}/compensate": "platform:write",
    "POST /api/v1/platform/sagas/{saga_id}/retry": "platform:write",
    "POST /api/v1/platform/sagas/{saga_id}/skip": "platform:write",
    "GET /api/v1/posts": ANYBODY,
    "POST /api/v1/posts": ANYBODY,
    "GET /api/v1/posts/{post_id}": ANYBODY,
    "PATCH /api/v1/posts/{post_id}": ANYBODY,
    "DELETE /api/v1/posts/{post_id}": ANYBODY,
    "GET /api/v1/posts/{post_id}/comments": ANYBODY,
    "POST /api/v1/posts/{post_id}/comments": ANYBODY,
    "POST /api/v1/posts/{post_id}/publish": ANYBODY,
    "GET /api/v1/projects": ANYBODY,
    "POST /api/v1/projects": ANYBODY,
    "GET /api/v1/projects/{project_id}": ANYBODY,
    "PATCH /api/v1/projects/{project_id}": ANYBODY,
    "DELETE /api/v1/projects/{project_id}": ANYBODY,
    "GET /api/v1/projects/{project_id}/activity": ANYBODY,
    "GET /api/v1/projects/{project_id}/expenses": ANYBODY,
    "POST /api/v1/projects/{project_id}/expenses": ANYBODY,
    "GET /api/v1/projects/{project_id}/members": ANYBODY,
    "POST /api/v1/projects/{project_id}/members": ANYBODY,
    "GET /api/v1/projects/{project_id}/members/{user_id}": ANYBODY,
    "PATCH /api/v1/projects/{project_id}/members/{user_id}": ANYBODY,
    "DELETE /api/v1/projects/{project_id}/members/{user_id}": ANYBODY,
    "GET /api/v1/projects/{project_id}/milestones": ANYBODY,
    "POST /api/v1/projects/{project_id}/milestones": ANYBODY,
    "GET /api/v1/projects/{project_id}/tasks": ANYBODY,
    "POST /api/v1/projects/{project_id}/tasks": ANYBODY,
    "GET /api/v1/projects/{project_id}/timeline": ANYBODY,
    "GET /api/v1/roles": "roles:read",
    "POST /api/v1/roles": "roles:write",
    "GET /api/v1/roles/{role_id}": "roles:read",
    "PATCH /api/v1/roles/{role_id}": "roles:write",
    "DELETE /api/v1/roles/{role_id}": "roles:write",
    "GET /api/v1/tasks/{task_id}": ANYBODY,
    "PATCH /api/v1/tasks/{task_id}": ANYBODY,
    "DELETE /api/v1/tasks/{task_id}": ANYBODY,
    "GET /api/v1/tasks/{task_id}/attachments": ANYBODY,
    "PUT /api/v1/tasks/{task_id}/attachments/{file_id}": ANYBODY,
    "DELETE /api/v1/tasks/{task_id}/attachments/{file_id}": ANYBODY,
    "GET /api/v1/tasks/{task_id}/comments": ANYBODY,
    "POST /api/v1/tasks/{task_id}/comments": ANYBODY,
    "GET /api/v1/tasks/{task_id}/time-entries": ANYBODY,
    "POST /api/v1/tasks/{task_id}/time-entries": ANYBODY,
    "GET /api/v1/users": "users:read",
    "POST /api/v1/users": "users:write",
    "GET /api/v1/users/me": ANYBODY,
    "PATCH /api/v1/users/me": ANYBODY,
    "POST /api/v1/users/me/password": ANYBODY,
    "POST /api/v1/users/register": PUBLIC,
    "GET /api/v1/users/{user_id}": "users:read",
    "PATCH /api/v1/users/{user_id}": "users:write",
    "DELETE /api/v1/users/{user_id}": "users:write",
    "PUT /api/v1/users/{user_id}/roles/{role_name}": "roles:write",
    "DELETE /api/v1/users/{user_id}/roles/{role_name}": "roles:write",
}

BESIDE = {"GET /reset-password", "GET /verify-email"}
"""Pages for people who follow a mailed link; no operations of the API, so the document does not show them."""

SHIPPED = [*MODULES, "courses", "orders", "posts"]

PERMISSIONS = sorted(set(TABLE.values()) - {PUBLIC, ANYBODY})

HIDDEN = {
    "password_hash",
    "password",
    "deleted_at",
    "token",
    "token_hash",
    "secret",
    "hash",
    "storage_path",
    "version",
}
"""No answer has a field of such a name; `access_token` and `refresh_token` have two routes that answer them."""

VERSIONED = re.compile(r"/(platform|files|folders|tasks)\b")
"""Below these, `version` is something that people are told: of a module, an event, a file's content, a task."""

FORBIDDEN_FIELDS = {
    "is_admin": True,
    "is_superuser": True,
    "role": "admin",
    "role_ids": [],
    "owner_id": UNKNOWN,
    "user_id": UNKNOWN,
    "email_verified": True,
    "id": UNKNOWN,
    "created_at": "2020-01-01T00:00:00Z",
    "updated_at": "2020-01-01T00:00:00Z",
    "deleted_at": None,
    "status": "active",
    "budget_spent": {"amount": "0.00", "currency": "EUR"},
    "password_hash": "x",
    "version": 7,
    "last_login_at": None,
    "__proto__": {},
    "actor_id": UNKNOWN,
}


async def without_roles(p: RunningPlatform) -> Account:
    bare = await sign_up(p, "bare")
    await p.sql("DELETE FROM user_management.user_roles WHERE user_id = %(id)s", id=bare.id)
    return bare


async def disabled(p: RunningPlatform) -> Account:
    off = await sign_up(p, "off")
    root = await sign_up(p, "switch", permissions=["*"])
    assert (await root.client.patch(f"{API}/users/{off.id}", json={"is_active": False})).is_success
    return off


async def people(p: RunningPlatform) -> dict[str, tuple[Any, set[str]]]:
    """Return name → (client, what they may): everybody who could call."""
    everybody: dict[str, tuple[Any, set[str]]] = {"anonymous": (p.client, {PUBLIC})}
    # a bad token is no token: public routes go on without it
    everybody["disabled"] = ((await disabled(p)).client, {PUBLIC})
    everybody["no role"] = ((await without_roles(p)).client, {PUBLIC, ANYBODY})
    everybody["member"] = ((await sign_up(p, "plain")).client, {PUBLIC, ANYBODY})
    for permission in PERMISSIONS:
        account = await sign_up(p, permission.replace(":", "-"), permissions=[permission])
        everybody[permission] = (account.client, {PUBLIC, ANYBODY, permission})
    root = await sign_up(p, "root", permissions=["*"])
    everybody["administrator"] = (root.client, {PUBLIC, ANYBODY, *PERMISSIONS})
    return everybody


async def test_row_47_everybody_against_every_route(platform: PlatformFactory) -> None:
    """Row 47: a route that is missing from the table above, or that asks for anything else, fails here."""
    async with platform(SHIPPED, seed=essentials) as p:
        every = await operations(p, endless=True)
        assert {str(operation) for operation in every} == TABLE.keys()
        wrong = []
        for name, (client, may) in (await people(p)).items():
            for operation in every:
                if operation.template.endswith("/logout") and may != {PUBLIC}:
                    continue  # it works, and would end the caller's session
                # a body that nobody accepts: who may not call must not learn even that
                body = {} if operation.body is None else {"json": {"nonsense": 1}}
                method = "HEAD" if operation.is_endless else operation.method
                status = (await client.request(method, operation.path, **body)).status_code
                if TABLE[str(operation)] in may:
                    expected = {200, 202, 204, 404, 422}
                    if operation.template.endswith("/files/uploads"):
                        expected.add(412)  # the protocol's own header comes before everything that it says
                else:
                    expected = {401} if may == {PUBLIC} else {403}
                if status not in expected:
                    wrong.append((name, str(operation), status))
        assert wrong == []


async def test_row_48_no_identity_of_somebody_else_opens_anything(platform: PlatformFactory) -> None:
    """Row 48: ids in path, body, query and idempotency key, swapped between two members; no effect, no event."""
    async with platform(MODULES, seed=essentials) as p:
        eve, ben = await sign_up(p, "eve"), await sign_up(p, "ben")
        root = await sign_up(p, "root", permissions=["*"])
        draft = {"kind": "user_management.welcome", "channel": "email", "locale": "en"}
        listed = (await root.client.get(f"{API}/notifications/templates")).json()
        assert listed["items"] == []
        [session] = (await ben.client.get(f"{API}/auth/sessions")).json()["items"]
        delivery = (await p.deliveries() or [None])[0]
        before = [row async for row in _business(p)]
        for method, path, body in (
            ("GET", f"/users/{ben.id}", None),
            ("PATCH", f"/users/{ben.id}", {"full_name": "Mallory"}),
            ("DELETE", f"/users/{ben.id}", None),
            ("PUT", f"/users/{ben.id}/roles/admin", None),
            ("DELETE", f"/users/{ben.id}/roles/member", None),
            ("PUT", f"/users/{eve.id}/roles/admin", None),
            ("DELETE", f"/auth/sessions/{session['id']}", None),
            ("POST", "/notifications/templates", draft | {"subject": "x", "text": "x"}),
            ("POST", f"/platform/deliveries/{delivery.id if delivery else UNKNOWN}/retry", None),
            ("PATCH", "/users/me", {"id": str(ben.id), "full_name": "x"}),
            ("PATCH", f"/users/me?user_id={ben.id}&id={ben.id}", {}),
            ("PUT", "/notifications/preferences", {"user_id": str(ben.id), "channels": {}}),
        ):
            arguments = {} if body is None else {"json": body}
            answer = await eve.client.request(method, API + path, **arguments)
            assert answer.status_code in (403, 404, 422) or path.startswith("/users/me?"), (method, path)
        mine = (await eve.client.get(f"{API}/users/me", params={"user_id": str(ben.id)})).json()
        assert mine["id"] == str(eve.id)
        sessions = (await eve.client.get(f"{API}/auth/sessions", params={"user_id": str(ben.id)})).json()
        assert session["id"] not in {item["id"] for item in sessions["items"]}
        assert [row async for row in _business(p)] == before

        # the same key of two callers is two keys; of one caller on two routes too
        key = {"Idempotency-Key": "the-same-for-all"}
        eve_mail = await eve.client.post(f"{API}/auth/verify-email/resend", headers=key)
        ben_mail = await ben.client.post(f"{API}/auth/verify-email/resend", headers=key)
        assert eve_mail.status_code == ben_mail.status_code == 202
        assert "idempotent-replayed" not in ben_mail.headers
        again = await eve.client.post(f"{API}/auth/verify-email/resend", headers=key)
        assert again.headers["idempotent-replayed"] == "true"
        assert (await p.client.post(f"{API}/auth/verify-email/resend", headers=key)).status_code == 401


async def _business(p: RunningPlatform) -> Any:
    """Yield what members' requests could change: accounts without their logins, roles, templates, events."""
    for statement in (
        "SELECT id, email, username, full_name, is_active, version FROM user_management.users ORDER BY id",
        "SELECT * FROM user_management.user_roles ORDER BY user_id, role_id",
        "SELECT id, revoked_at FROM user_management.user_sessions ORDER BY id",
        "SELECT id FROM audit.domain_events ORDER BY id",
        "SELECT * FROM notification.templates ORDER BY id",
        "SELECT id, status FROM platform.deliveries ORDER BY id",
    ):
        for row in await p.sql(statement):
            yield row


async def test_row_52_no_route_takes_a_field_that_its_description_does_not_name(
    platform: PlatformFactory,
) -> None:
    """Row 52: mass assignment on every POST, PUT and PATCH; 422 that points at the field, and nothing is changed."""
    async with platform(SHIPPED, seed=essentials) as p:
        root, eve = await sign_up(p, "root", permissions=["*"]), await sign_up(p, "eve")
        roles = (await root.client.get(f"{API}/roles")).json()["items"]
        known = {"user_id": str(eve.id), "role_id": roles[0]["id"]}
        before = [row async for row in _business(p)]
        tried = 0
        for operation in await operations(p):
            if operation.body is None:
                continue
            assert operation.body.get("additionalProperties") is False, operation
            properties = operation.body["properties"]
            path = operation.template
            for name, value in known.items():
                path = path.replace(f"{{{name}}}", value)
            if "{" in path:
                continue  # there is no such thing: 404 comes first
            for name, value in FORBIDDEN_FIELDS.items():
                if name in properties:
                    continue
                answer = await root.client.request(operation.method, path, json={name: value})
                assert answer.status_code == 422, (operation, name)
                pointers = {error["pointer"] for error in answer.json()["errors"]}
                assert f"/body/{name}" in pointers, (operation, name, pointers)
                tried += 1
        assert tried > 150
        assert [row async for row in _business(p)] == before


def _fields(whole: Mapping[str, Any], schema: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    schema = resolved(whole, schema)
    yield from schema.get("properties", ())
    if depth > 6:
        return
    for below in [*schema.get("properties", {}).values(), schema.get("items"), *schema.get("anyOf", ())]:
        if isinstance(below, dict):
            yield from _fields(whole, below, depth + 1)


async def test_row_53_no_described_answer_has_a_hidden_field(platform: PlatformFactory) -> None:
    """Row 53: over every response schema of the document."""
    async with platform(MODULES, seed=essentials) as p:
        whole, looked_at = await document(p), 0
        for template, methods in whole["paths"].items():
            for method, operation in methods.items():
                for status, response in operation["responses"].items():
                    for media in response.get("content", {}).values():
                        fields = set(_fields(whole, media.get("schema", {})))
                        allowed = {"version"} if VERSIONED.search(template) else set()
                        assert not fields & HIDDEN - allowed, (method, template, status)
                        if {"access_token", "refresh_token"} & fields:
                            assert template in (f"{API}/auth/login", f"{API}/auth/refresh")
                        looked_at += 1
        assert looked_at > 50


async def test_row_53_no_real_answer_has_a_hidden_field(platform: PlatformFactory) -> None:
    """Row 53: over what the routes really answer, whatever they say they do."""
    async with platform(MODULES, seed=essentials) as p:
        root = await sign_up(p, "root", permissions=["*"])
        await p.client.post(
            f"{API}/users/register", json={"email": "a@example.com", "username": "ada", "password": PASSWORD}
        )
        await p.deliver()

        def names(value: Any) -> Iterator[str]:
            if isinstance(value, dict):
                for key, below in value.items():
                    yield key
                    yield from names(below) if key not in ("payload", "changes", "contributes") else ()
            if isinstance(value, list):
                for item in value:
                    yield from names(item)

        for operation in await operations(p):
            if operation.method == "GET" and "{" not in operation.template:
                answer = await root.client.get(operation.template)
                assert answer.status_code == 200, operation
                allowed = {"version"} if VERSIONED.search(operation.template) else set()
                assert not set(names(answer.json())) & HIDDEN - allowed, operation
        events = (await root.client.get(f"{API}/platform/events")).json()["items"]
        assert all(
            "password" not in str(event["payload"]) for event in events if "reset" not in event["name"]
        )


async def test_row_54_a_deleted_account_is_in_no_answer(platform: PlatformFactory) -> None:
    """Row 54: neither lists nor search nor the way back in know it, and its own tokens are dead."""
    async with platform(MODULES, seed=essentials) as p:
        root, eve = await sign_up(p, "root", permissions=["*"]), await sign_up(p, "eve")
        assert (await root.client.delete(f"{API}/users/{eve.id}")).status_code == 204
        for path, params in (
            ("/users", {}),
            ("/users", {"q": "eve"}),
            ("/users", {"limit": "200"}),
            ("/roles", {}),
            ("/notifications/templates", {}),
        ):
            answer = await root.client.get(API + path, params=params)
            assert str(eve.id) not in answer.text, path
            assert "eve@example.com" not in answer.text, path
        assert (await eve.client.get(f"{API}/users/me")).status_code == 401
        credentials = {"email": eve.email, "password": PASSWORD}
        assert (await p.client.post(f"{API}/auth/login", json=credentials)).status_code == 401
        await p.deliver()
        before = len(await p.events())
        assert (
            await p.client.post(f"{API}/auth/password-reset", json={"email": eve.email})
        ).status_code == 202
        await p.deliver()
        assert len(await p.events()) == before


async def test_row_55_lists_take_only_what_they_say(platform: PlatformFactory) -> None:
    """Row 55: sorting and filtering by hidden columns does nothing; limits and cursors are checked."""
    async with platform(MODULES, seed=essentials) as p:
        root = await sign_up(p, "root", permissions=["*"])
        for n in range(3):
            await sign_up(p, f"user{n}")
        lists = [
            operation
            for operation in await operations(p)
            if any(parameter["name"] == "cursor" for parameter in operation.parameters)
        ]
        assert len(lists) >= 7
        page = (await root.client.get(f"{API}/users", params={"limit": 1})).json()
        good = page["next_cursor"]
        for operation in lists:
            plain = (await root.client.get(operation.template)).json()
            hostile = {
                "sort": "password_hash",
                "order": "desc; DROP TABLE users",
                "filter[password_hash]": "$2b",
            }
            answer = await root.client.get(operation.template, params={**hostile, "fields": "password_hash"})
            assert answer.status_code in (200, 422)
            if answer.status_code == 200 and "audit-logs" not in operation.template:
                assert answer.json() == plain, operation
            for name, value in (
                ("limit", "0"),
                ("limit", "201"),
                ("limit", "-1"),
                ("limit", "1e3"),
                ("limit", "9" * 400),
                ("limit", "x"),
                ("cursor", "x"),
                ("cursor", ""),
                ("cursor", good[:-2] + ("AA" if good[-2:] != "AA" else "BB")),
                ("cursor", good[::-1]),
                ("cursor", "A" * 2049),
            ):
                answer = await root.client.get(operation.template, params={name: value})
                assert answer.status_code == 422, (operation, name, value, answer.text[:200])
            # a cursor of one list is nothing to another
            elsewhere = await root.client.get(operation.template, params={"cursor": good})
            assert elsewhere.status_code == (200 if operation.template == f"{API}/users" else 422), operation


async def test_row_57_what_no_route_offers_is_405_and_does_nothing(platform: PlatformFactory) -> None:
    """Row 57: on every path, with a token that may do everything."""
    async with platform(MODULES, seed=essentials) as p:
        root = await sign_up(p, "root", permissions=["*"])
        paths: dict[str, set[str]] = {}
        for operation in await operations(p):
            paths.setdefault(operation.path, set()).add(operation.method)
        before = [row async for row in _business(p)]
        for path, offered in paths.items():
            for method in {"TRACE", "CONNECT", "OPTIONS", "PROPFIND", "FOO"} - offered:
                answer = await root.client.request(method, path)
                assert answer.status_code == 405, (method, path, answer.status_code)
                assert answer.headers["content-type"] == "application/problem+json"
                assert offered <= set(answer.headers["allow"].replace(" ", "").split(",")), path
            for override in ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"):
                if "DELETE" in offered and "POST" not in offered:
                    tunnelled = await root.client.post(path, headers={override: "DELETE"})
                    assert tunnelled.status_code == 405
        assert [row async for row in _business(p)] == before
        metrics = (await p.client.get("/metrics")).text
        assert "PROPFIND" not in metrics, "a client's words are no labels"
        assert "FOO" not in metrics


async def test_there_is_no_other_operation_than_the_described(platform: PlatformFactory) -> None:
    """Row 47: nothing is served below the API that the document does not show."""
    async with platform(MODULES, seed=essentials) as p:
        described = {str(operation) for operation in await operations(p, endless=True)}
        table = next(route for route in p.app.router.routes if type(route).__name__ == "RouteTable")
        served = {
            f"{method} {route.template}"
            for node in _nodes(table._root)
            for method, (route, _) in node.routes.items()
        }
        assert served - described == BESIDE
        assert described <= served
        beside = {route.path for route in p.app.router.routes if hasattr(route, "path")}
        known = {
            "/health/live",
            "/health/ready",
            "/metrics",
            "/openapi.json",
            "/docs",
            "/docs/{name}",
            "/problems/{slug}",
        }
        assert beside <= known, beside - known


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for below in (*node.words.values(), *([node.parameter] if node.parameter else ())):
        yield from _nodes(below)


def test_the_table_names_real_operations_only() -> None:
    """Row 47: a typing error in the table would hide a route."""
    assert all(
        Operation(*key.split(" "), None, ()).method in "GET POST PUT PATCH DELETE OPTIONS" for key in TABLE
    )
