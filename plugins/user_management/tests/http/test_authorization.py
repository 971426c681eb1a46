"""Row 47: every route of this module against everybody who may call it, from a table that no route may miss."""

from typing import Any

from platform_core.testing import PlatformFactory
from user_management.testing import essentials, sign_up

PUBLIC, ANYBODY = "public", "anybody"
UNKNOWN = "01a20642-0c8c-7e6e-b94c-e5b378cc4910"

TABLE: dict[tuple[str, str], str] = {
    ("POST", "/api/v1/users/register"): PUBLIC,
    ("GET", "/api/v1/users/me"): ANYBODY,
    ("PATCH", "/api/v1/users/me"): ANYBODY,
    ("POST", "/api/v1/users/me/password"): ANYBODY,
    ("GET", "/api/v1/users"): "users:read",
    ("POST", "/api/v1/users"): "users:write",
    ("GET", "/api/v1/users/{user_id}"): "users:read",
    ("PATCH", "/api/v1/users/{user_id}"): "users:write",
    ("DELETE", "/api/v1/users/{user_id}"): "users:write",
    ("PUT", "/api/v1/users/{user_id}/roles/{role_name}"): "roles:write",
    ("DELETE", "/api/v1/users/{user_id}/roles/{role_name}"): "roles:write",
    ("POST", "/api/v1/auth/login"): PUBLIC,
    ("POST", "/api/v1/auth/refresh"): PUBLIC,
    ("POST", "/api/v1/auth/logout"): ANYBODY,
    ("GET", "/api/v1/auth/sessions"): ANYBODY,
    ("DELETE", "/api/v1/auth/sessions/{session_id}"): ANYBODY,
    ("POST", "/api/v1/auth/verify-email"): PUBLIC,
    ("POST", "/api/v1/auth/verify-email/resend"): ANYBODY,
    ("POST", "/api/v1/auth/password-reset"): PUBLIC,
    ("POST", "/api/v1/auth/password-reset/confirm"): PUBLIC,
    ("GET", "/api/v1/roles"): "roles:read",
    ("POST", "/api/v1/roles"): "roles:write",
    ("GET", "/api/v1/roles/{role_id}"): "roles:read",
    ("PATCH", "/api/v1/roles/{role_id}"): "roles:write",
    ("DELETE", "/api/v1/roles/{role_id}"): "roles:write",
    ("GET", "/api/v1/permissions"): ANYBODY,
    ("GET", "/.well-known/jwks.json"): PUBLIC,
}
OWN = ("/users", "/auth", "/roles", "/permissions", "/.well-known")
PERMISSIONS = ("users:read", "users:write", "roles:read", "roles:write")


async def test_no_route_is_missing_from_the_table(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        document = (await p.client.get("/openapi.json")).json()
        own = {
            (method.upper(), path)
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
            if path.removeprefix("/api/v1").startswith(OWN)
        }
        assert own == TABLE.keys()


async def test_row_47_each_route_asks_for_what_the_table_says(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        callers: dict[str, Any] = {"nobody": p.client, "member": (await sign_up(p, "plain")).client}
        for permission in PERMISSIONS:
            username = permission.replace(":", "-")
            callers[permission] = (await sign_up(p, username, permissions=[permission])).client
        callers["*"] = (await sign_up(p, "root", permissions=["*"])).client
        broken = p.new_client({"Authorization": "Bearer broken"})
        for (method, template), needed in TABLE.items():
            if template.endswith("/logout"):
                continue  # it works, and would end the callers' sessions
            path = template.format(user_id=UNKNOWN, role_id=UNKNOWN, session_id=UNKNOWN, role_name="nope")
            for name, client in callers.items():
                # a body that nobody would accept: who may not call must not learn that
                body = {"json": {"nonsense": 1}} if method in ("POST", "PATCH") else {}
                status = (await client.request(method, path, **body)).status_code
                allowed = needed == PUBLIC or (name != "nobody" and needed in (ANYBODY, name)) or name == "*"
                expected = (
                    {401}
                    if not allowed and name == "nobody"
                    else {403}
                    if not allowed
                    else {200, 202, 204, 404, 422}
                )
                assert status in expected, (method, path, name, status)
            if needed != PUBLIC:
                assert (await broken.request(method, path)).status_code == 401


async def test_row_57_methods_that_are_not_offered(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        for method, path in (
            ("TRACE", "/api/v1/users"),
            ("PUT", "/api/v1/users"),
            ("GET", "/api/v1/auth/login"),
        ):
            answer = await p.client.request(method, path)
            assert answer.status_code == 405, (method, path)


async def test_every_operation_says_what_it_does_and_how_it_refuses(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        document = (await p.client.get("/openapi.json")).json()
        for method, path in TABLE:
            operation = document["paths"][path][method.lower()]
            assert operation["summary"], path
            if TABLE[method, path] != PUBLIC:
                assert "401" in operation["responses"], path
        assert "409" in document["paths"]["/api/v1/users/register"]["post"]["responses"]
        assert "409" in document["paths"]["/api/v1/auth/refresh"]["post"]["responses"]
        assert "429" in document["paths"]["/api/v1/auth/login"]["post"]["responses"]
