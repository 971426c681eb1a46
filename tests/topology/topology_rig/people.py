"""Clients: people who know the platform's public address and nothing else."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2

from topology_rig.site import ADMINISTRATOR, Site

PASSWORD = "a long enough sentence"


@dataclass(frozen=True)
class Person:
    """
    Somebody who is logged in.

    Attributes:
        client: calls `/api/v1` through nginx with their token.
        token: the access token, for clients that are made elsewhere.
    """

    id: str
    username: str
    email: str
    token: str
    client: httpx2.AsyncClient

    async def get(self, path: str, **options: Any) -> Any:
        """Return the body of a GET, which has to be answered by 200."""
        answer = await self.client.get(path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, status: int = 201, **options: Any) -> Any:
        """Return the body of a POST, which has to be answered by `status`."""
        answer = await self.client.post(path, **options)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def upload(self, name: str, content: bytes) -> httpx2.Response:
        return await self.client.post("/files/upload", files={"file": (name, content)})


class People:
    """
    Everybody of a test.

    Args:
        stack: closes their connections.
    """

    def __init__(self, site: Site, stack: contextlib.AsyncExitStack) -> None:
        self.site, self._stack = site, stack

    async def visitor(self, headers: dict[str, str] | None = None) -> httpx2.AsyncClient:
        """Return a client that is not logged in."""
        client = httpx2.AsyncClient(
            base_url=f"{self.site.front.url}/api/v1",
            headers=headers or {},
            verify=self.site.front.certificates,
            timeout=60,
            trust_env=False,
        )
        return await self._stack.enter_async_context(client)

    async def register(self, name: str, headers: dict[str, str] | None = None) -> Person:
        """Sign somebody up and log them in; names are made unique, because the platform outlives each test."""
        username = f"{name}-{secrets.token_hex(3)}"
        email = f"{username}@example.com"
        visitor = await self.visitor()
        body = {"email": email, "username": username, "password": PASSWORD}
        answer = await visitor.post("/users/register", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        return await self.log_in(email, PASSWORD)

    async def log_in(self, email: str, password: str) -> Person:
        visitor = await self.visitor()
        answer = await visitor.post("/auth/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        token = answer.json()["access_token"]
        client = await self.visitor({"Authorization": f"Bearer {token}"})
        me = (await client.get("/users/me")).json()
        return Person(me["id"], me["username"], email, token, client)

    async def administrator(self) -> Person:
        return await self.log_in(ADMINISTRATOR, self.site.settings["PLATFORM_ADMIN_PASSWORD"])


@contextlib.asynccontextmanager
async def people(site: Site) -> AsyncIterator[People]:
    async with contextlib.AsyncExitStack() as stack:
        yield People(site, stack)
