"""
For tests, of this plugin and of those that need people: throw-away keys, and accounts that are logged in.

    async with platform(["user_management", "greeter"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        answer = await eve.client.get("/api/v1/greetings")
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from user_management.application import AssignRole, CreateRole, EnsureBuiltInRoles, EnsureUser
from user_management.domain import RoleNameTaken

if TYPE_CHECKING:
    from httpx2 import AsyncClient

    from platform_core.testing import RunningPlatform
    from user_management.contracts import RoleView

__all__ = [
    "FACTORIES",
    "Account",
    "essentials",
    "log_in",
    "make_role",
    "new_signing_key",
    "settings_for_tests",
    "sign_up",
]

PASSWORD = "a long enough sentence"  # noqa: S105  # of accounts that live as long as a test


@dataclass(frozen=True, kw_only=True)
class Account:
    """
    Somebody who is logged in.

    Attributes:
        client: sends their access token with each request.
    """

    id: UUID
    email: str
    username: str
    password: str
    access_token: str
    refresh_token: str
    client: AsyncClient


@cache
def settings_for_tests() -> Mapping[str, str]:
    """Return what this plugin cannot start without, and a cost at which thousands of passwords can be hashed."""
    return {
        "PLATFORM_USER_MANAGEMENT_PASSWORD_PEPPER": secrets.token_urlsafe(48),
        "PLATFORM_USER_MANAGEMENT_SIGNING_KEY": new_signing_key(),
        "PLATFORM_USER_MANAGEMENT_BCRYPT_COST": "4",
        "PLATFORM_USER_MANAGEMENT_HASH_QUEUE": "1000",
    }


def new_signing_key() -> str:
    """Make an Ed25519 private key, PEM."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


async def essentials(p: RunningPlatform) -> None:
    """Make the roles without which nobody can register; for `platform(…, seed=essentials)`."""
    await p.execute(EnsureBuiltInRoles())


async def sign_up(
    p: RunningPlatform,
    username: str,
    *,
    permissions: Sequence[str] = (),
    roles: Sequence[str] = (),
    ip: str = "127.0.0.1",
) -> Account:
    """
    Make an account and log it in over HTTP.

    Args:
        permissions: granted through a role of the same name as the user's; `*` makes an administrator.
        roles: existing ones, beside `member`.
    """
    email = f"{username}@example.com"
    user_id = await p.execute(
        EnsureUser(email=email, username=username, password=PASSWORD, roles=tuple(roles))
    )
    if "*" in permissions:
        await p.execute(AssignRole(user_id=user_id, role_name="admin"))
    elif permissions:
        with contextlib.suppress(RoleNameTaken):
            await p.execute(CreateRole(name=username, permissions=list(permissions)))
        await p.execute(AssignRole(user_id=user_id, role_name=username))
    return await log_in(p, email, ip=ip)


async def make_role(p: RunningPlatform, name: str = "helper", *, permissions: Sequence[str] = ()) -> RoleView:
    """Name a set of permissions, as the platform itself."""
    return await p.execute(CreateRole(name=name, permissions=list(permissions)))


async def log_in(
    p: RunningPlatform, email: str, password: str = PASSWORD, *, ip: str = "127.0.0.1"
) -> Account:
    """Log an existing account in once more, which is a session of its own."""
    answer = await p.client.post("/api/v1/auth/login", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text  # noqa: S101  # assertions are its product
    tokens: dict[str, Any] = answer.json()
    client = p.new_client({"Authorization": f"Bearer {tokens['access_token']}"}, ip=ip)
    me = (await client.get("/api/v1/users/me")).json()
    return Account(
        id=UUID(me["id"]),
        email=me["email"],
        username=me["username"],
        password=password,
        access_token=tokens["access_token"],
        refresh_token=tokens["refresh_token"],
        client=client,
    )


FACTORIES: Final = {"user_management.user": sign_up, "user_management.role": make_role}
"""What makes one of each aggregate."""
