"""Passwords: a keyed pre-hash, then bcrypt, in few threads of low priority with a bounded queue."""

from __future__ import annotations

import asyncio
import base64
import functools
import hmac
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib import resources
from typing import TypeVar

import bcrypt

from platform_core.errors import InvalidSettings, RateLimited
from platform_core.settings import KernelSettings
from user_management.domain import PasswordPolicy
from user_management.settings import UserManagementSettings

T = TypeVar("T")

_SAFE_COST = 12

_STEPPED_BACK = 5
"""The nice value of the threads that hash."""


class BcryptHasher:
    """
    bcrypt over base64(HMAC-SHA256(pepper, password)).

    The pre-hash makes every byte count (bcrypt itself reads 72) and keeps a stolen table worthless without the pepper.

    Args:
        pepper: at least 32 bytes.
        cost: binary logarithm of the rounds.
        concurrency: hashes at once; more than processors only makes each slower.
        queue: hashes that may wait; beyond, callers are told to come again.
    """

    def __init__(self, *, pepper: bytes, cost: int, concurrency: int, queue: int) -> None:
        self._pepper, self._cost = pepper, cost
        self._places = threading.Semaphore(concurrency + queue)
        self._threads = ThreadPoolExecutor(concurrency, "bcrypt", initializer=_step_back)
        # Never computed: comparing with it costs what a real one costs, and no password leads to it.
        self._nobody = bcrypt.gensalt(cost) + b"." * 31
        self.hash_calls = 0
        """How often bcrypt ran or was asked to; every refusal of a login adds the same."""

    async def hash(self, password: str) -> str:
        secret = self._prehash(password)
        return (await self._run(lambda: bcrypt.hashpw(secret, bcrypt.gensalt(self._cost)))).decode()

    async def verify(self, password: str, stored: str | None) -> bool:
        secret = self._prehash(password)
        against = self._nobody if stored is None else stored.encode()
        matches = await self._run(lambda: bcrypt.checkpw(secret, against))
        return matches and stored is not None

    def is_outdated(self, stored: str) -> bool:
        return not stored.startswith(f"$2b${self._cost:02}$")

    def close(self) -> None:
        """Let running hashes end, drop waiting ones."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _prehash(self, password: str) -> bytes:
        return base64.b64encode(
            hmac.digest(self._pepper, password.encode("utf-8", "surrogatepass"), "sha256")
        )

    async def _run(self, work: Callable[[], T]) -> T:
        if not self._places.acquire(blocking=False):
            raise RateLimited("Too many people log in at this moment.", retry_after_seconds=2)
        self.hash_calls += 1
        future = self._threads.submit(work)
        # a place is free when the thread is, which is later than when an impatient client has gone
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)


@asynccontextmanager
async def bcrypt_hasher(
    settings: UserManagementSettings, kernel: KernelSettings
) -> AsyncIterator[BcryptHasher]:
    """
    Make the hasher of a process.

    Raises:
        InvalidSettings: a cost for tests, in production.
    """
    if kernel.is_production and settings.bcrypt_cost < _SAFE_COST:
        problem = f"PLATFORM_USER_MANAGEMENT_BCRYPT_COST is {settings.bcrypt_cost}, too cheap to guess"
        raise InvalidSettings("user_management", problem, f"set {_SAFE_COST} or more, or leave it out")
    hasher = BcryptHasher(
        pepper=settings.password_pepper.get_secret_value().encode(),
        cost=settings.bcrypt_cost,
        concurrency=settings.hash_concurrency,
        queue=settings.hash_queue,
    )
    try:
        yield hasher
    finally:
        hasher.close()


def password_policy() -> PasswordPolicy:
    """Return the policy with the list of common passwords that comes with the package."""
    return PasswordPolicy(_common_passwords())


@functools.cache
def _common_passwords() -> frozenset[str]:
    text = (
        resources.files("user_management.infrastructure").joinpath("common_passwords.txt").read_text("utf-8")
    )
    return frozenset(line for line in text.splitlines() if not line.startswith("#"))


def _step_back() -> None:
    """Let the event loop go first: on Linux every thread has a priority of its own."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        # a process that was itself started to step back further may not come forward again
        if os.getpriority(os.PRIO_PROCESS, thread) < _STEPPED_BACK:
            os.setpriority(os.PRIO_PROCESS, thread, _STEPPED_BACK)
