import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncIterator

import pytest

from platform_core.errors import RateLimited
from user_management.infrastructure.hashing import BcryptHasher


def a_hasher(
    cost: int = 4, concurrency: int = 2, queue: int = 100, pepper: bytes = b"p" * 32
) -> BcryptHasher:
    return BcryptHasher(pepper=pepper, cost=cost, concurrency=concurrency, queue=queue)


@pytest.fixture
async def hasher() -> AsyncIterator[BcryptHasher]:
    hasher = a_hasher()
    yield hasher
    hasher.close()


async def test_a_password_of_256_bytes_counts_to_its_last_byte(hasher: BcryptHasher) -> None:
    password = "😀" * 64
    stored = await hasher.hash(password)
    assert stored.startswith("$2b$04$")
    assert await hasher.verify(password, stored)
    for place in (72, 200, 255):
        data = bytearray(password.encode())
        data[place] ^= 1
        assert not await hasher.verify(data.decode("utf-8", "surrogateescape"), stored)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("before\0after", "before\0behind"),
        ("trailing", "trailing "),
        ("caf\u00e9 time", "cafe\u0301 time"),
        ("UPPER case", "upper case"),
        ("x" * 1024, "x" * 1023),
    ],
)
async def test_every_byte_counts(hasher: BcryptHasher, one: str, other: str) -> None:
    stored = await hasher.hash(one)
    assert await hasher.verify(one, stored)
    assert not await hasher.verify(other, stored)


async def test_half_of_a_surrogate_pair_is_no_accident(hasher: BcryptHasher) -> None:
    assert not await hasher.verify("\ud800", await hasher.hash("something"))


async def test_a_stolen_table_is_worthless_without_the_pepper(hasher: BcryptHasher) -> None:
    stored = await hasher.hash("a password")
    other = a_hasher(pepper=b"q" * 32)
    assert not await other.verify("a password", stored)
    other.close()


async def test_nobody_costs_as_much_as_somebody(hasher: BcryptHasher) -> None:
    assert not await hasher.verify("a password", None)
    assert hasher.hash_calls == 1
    slow = a_hasher(cost=10)
    stored = await slow.hash("a password")
    took: dict[str | None, float] = {}
    for against in (stored, None):
        before = time.perf_counter()
        await slow.verify("a password", against)
        took[against] = time.perf_counter() - before
    slow.close()
    assert took[None] > took[stored] / 4  # it really ran bcrypt; medians are another test's business


async def test_another_cost_is_noticed(hasher: BcryptHasher) -> None:
    dearer = a_hasher(cost=5)
    stored = await hasher.hash("a password")
    assert not hasher.is_outdated(stored)
    assert dearer.is_outdated(stored)
    assert await dearer.verify("a password", stored)
    dearer.close()


async def test_beyond_the_queue_callers_are_told_to_come_again() -> None:
    hasher = a_hasher(cost=8, concurrency=1, queue=2)
    results = await asyncio.gather(*(hasher.hash("a password") for _ in range(10)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, RateLimited)]
    assert len(refused) == 7
    assert all(error.retry_after_seconds for error in refused)
    assert await hasher.hash("a password"), "the places are free again"
    hasher.close()


async def test_who_leaves_gives_the_place_back() -> None:
    hasher = a_hasher(cost=8, concurrency=1, queue=0)
    for _ in range(3):
        impatient = asyncio.create_task(hasher.hash("a password"))
        await asyncio.sleep(0)
        impatient.cancel()
        while True:
            try:
                await hasher.hash("a password")
                break
            except RateLimited:
                await asyncio.sleep(0.01)
    hasher.close()


async def test_the_event_loop_goes_on_while_passwords_are_hashed() -> None:
    hasher = a_hasher(cost=10)
    work = [asyncio.create_task(hasher.hash("a password")) for _ in range(8)]
    rounds_count = 0
    while not all(task.done() for task in work):
        await asyncio.sleep(0.001)
        rounds_count += 1
    hasher.close()
    assert rounds_count > 2 * len(work), "a round for each hash is what a loop does that waits for them"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no priority of its own")
def test_a_process_that_steps_back_further_than_its_hashes_can_hash() -> None:
    """Only root may come forward again: `nice -n 10 platform serve` answered every login with 500."""

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def process() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), max(10, niceness()))
        hasher = a_hasher()  # its threads inherit from the one that starts them
        seen.extend([niceness(), hasher._threads.submit(niceness).result()])
        hasher.close()

    seen: list[int] = []
    thread = threading.Thread(target=process)
    thread.start()
    thread.join()
    own, hashing = seen
    assert hashing == own
