"""Credentials of docs/operations/credentials.md that change while clients read and write, without a restart."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from topology_rig.database import APPLICATION, SECOND_APPLICATION
from topology_rig.life import CLOSED, Life
from topology_rig.people import People

from platform_core.testing import eventually
from user_management.testing import new_signing_key

if TYPE_CHECKING:
    from topology_rig.site import Site

WITHIN = 180.0

SIGNING, PREVIOUS = "PLATFORM_USER_MANAGEMENT_SIGNING_KEY", "PLATFORM_USER_MANAGEMENT_PREVIOUS_KEYS"

Tell = Callable[[Any], None]


async def test_the_login_of_the_database(site: Site, living: Life, tell: Tell) -> None:
    """Nobody is left who came as the one before; clients repeat what ended in the middle of a statement."""
    for before, after in ((APPLICATION, SECOND_APPLICATION), (SECOND_APPLICATION, APPLICATION)):
        site.primary.change_password(after)
        site.login = after
        site.point_at(site.primary, site.standby)
        site.primary.ask(f"ALTER ROLE {before} NOLOGIN")
        for server in (site.primary, site.standby):
            server.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %(it)s", it=before
            )
        await living.goes_on()
    tell(living.seen())
    living.only("503", "503 unavailable", "409 request-in-progress", "409 concurrent-update")
    assert await _names(site) == {APPLICATION}


async def _names(site: Site) -> set[str]:
    ask = "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name LIKE 'platform/%/%'"
    rows: list[dict[str, Any]] = [row for server in (site.primary, site.standby) for row in server.ask(ask)]
    return {row["usename"] for row in rows}


async def test_the_password_of_redis(site: Site, living: Life, tell: Tell) -> None:
    before = site.redis.add_password()
    site.tell_redis()
    site.redis.take_away(before)
    await living.goes_on()

    async def is_heard() -> bool:
        told = [await asyncio.to_thread(site.gauge, name, "platform_redis_up") for name in site.processes]
        return set(told) == {1.0}

    await eventually(is_heard, within_seconds=WITHIN)
    tell(living.seen())
    living.only()


async def test_the_keys_of_s3(site: Site, people: People, living: Life) -> None:
    """The server knows one pair at a time and is started anew with the other, so it is away in between."""
    ann, content = await people.register("ann"), secrets.token_bytes(100_000)
    before = (await ann.upload("before.bin", content)).json()
    site.s3.kill()
    site.s3.make_keys()
    await asyncio.to_thread(site.s3.start)

    async def stored() -> bool:
        return (await ann.upload(f"{secrets.token_hex(3)}.bin", content)).status_code == 201

    for _ in range(6):  # by one process and the other
        await eventually(stored, within_seconds=WITHIN)
    for _ in range(6):
        assert (await ann.client.get(f"/files/{before['id']}/content")).content == content
    living.only()


def public_half(private: str) -> str:
    key = serialization.load_pem_private_key(private.encode(), None)
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem.decode()


async def test_the_key_that_signs_tokens(site: Site, people: People, living: Life) -> None:
    """Processes are exchanged one by one, and each believes what the others sign; `living` keeps its old token."""
    before, after = site.settings[SIGNING], new_signing_key()
    steps = [{PREVIOUS: public_half(after)}, {SIGNING: after, PREVIOUS: public_half(before)}]
    for changed in steps:
        for process in site.of("api"):
            await asyncio.to_thread(site.exchange, process.name, **changed)
            eve = await people.register("eve")
            assert [(await eve.client.get("/users/me")).status_code for _ in range(6)] == [200] * 6
    await living.goes_on()
    living.only(*CLOSED)
