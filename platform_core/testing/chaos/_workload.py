"""Clients that insist, and the log of what they were told; private to the test kit."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

_REQUEST_TIMEOUT_SECONDS = 15.0
_AGAIN = frozenset({"request-in-progress", "rate-limited", "unavailable", "shutting-down"})
"""Problems after which a client tries again: the first try is still running, or it was told to wait."""
_LONGEST_WAIT_SECONDS = 2.0
_WAITING_PER_CLIENT = 10


@dataclass(frozen=True, kw_only=True)
class Operation:
    """
    One command over HTTP, and what its 2xx promises.

    Attributes:
        path: below the API's address: `/api/v1/bookmarks`.
        method: a POST is sent with an Idempotency-Key, so that repeating it is safe; anything else must be safe to
            repeat by itself.
        headers: `Authorization`, mostly.
        command: wire name of the command; the audit trail must have a line of it.
        events: wire names of the events that it makes, each once.
        table: `schema.table` that has a row with the answer's `id` from then on.
    """

    path: str
    body: Mapping[str, Any]
    command: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    events: Sequence[str] = ()
    table: str | None = None

    @property
    def is_once(self) -> bool:
        """Whether repeating it is the platform's business, by its key."""
        return self.method == "POST"


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A 2xx that a client got: what the platform has promised for good."""

    request_id: str
    operation: Operation
    at: float
    tries_count: int
    body: Any


class History:
    """
    The clients' own log: what they sent and what they were told; appended, never changed.

    Attributes:
        path: where it is, one JSON object a line.
        issued: every operation that was sent at least once, by request id.
        acknowledged: in the order of the answers.
        refusals: how often which answer, or which broken connection, was met on the way.
        unexpected: answers that no client of a healthy platform may get, faults or not.
        slowest_seconds: the longest that one try took.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a", encoding="utf-8")
        self.issued: dict[str, Operation] = {}
        self.acknowledged: list[Acknowledged] = []
        self.refusals: Counter[str] = Counter()
        self.unexpected: list[str] = []
        self.slowest_seconds = 0.0

    def send(self, request_id: str, operation: Operation) -> None:
        self.issued[request_id] = operation

    def acknowledge(self, told: Acknowledged) -> None:
        self.acknowledged.append(told)
        self.write(
            "acknowledged",
            request_id=told.request_id,
            command=told.operation.command,
            tries=told.tries_count,
            body=told.body,
        )

    def refuse(self, request_id: str, what: str) -> None:
        self.refusals[what] += 1
        self.write("refused", request_id=request_id, what=what)

    def surprise(self, request_id: str, what: str) -> None:
        self.unexpected.append(f"{request_id}: {what}")
        self.write("unexpected", request_id=request_id, what=what)

    def write(self, kind: str, **values: Any) -> None:
        """Append a line; it is with the operating system before anything else happens."""
        self._file.write(
            json.dumps({"at": round(time.time(), 3), "kind": kind, **values}, default=str) + "\n"
        )
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class Load:
    """
    Clients that issue operations and repeat each until it is acknowledged.

    Args:
        urls: of the APIs; a client that loses one connection turns to another.
        make: called with 0, 1, 2, …; returns that operation.
        clients_count: requests in flight at once.
        tag: told from other runs' request ids by this.
        tls: whose certificates are trusted, where the APIs have any.
        pause_seconds: between the beginnings of two operations, where the load is not meant to be all that can be.
    """

    def __init__(
        self,
        urls: Sequence[str],
        make: Callable[[int], Operation],
        history: History,
        *,
        clients_count: int,
        tag: str,
        tls: ssl.SSLContext | None = None,
        pause_seconds: float = 0.0,
    ) -> None:
        self._tls, self._pause_seconds = tls, pause_seconds
        self._urls, self._make, self._history, self._tag = list(urls), make, history, tag
        self._room = asyncio.Semaphore(clients_count)
        self._most_waiting = clients_count * _WAITING_PER_CLIENT
        self._operations: set[asyncio.Task[None]] = set()

    async def run(self, acknowledged_count: int, *, until: Callable[[], bool] = lambda: True) -> None:
        """
        Return when so much is acknowledged and `until` says yes; what is still under way then is left unanswered.

        `until` is asked before each operation, so what it raises ends the load.

        What waits to be repeated holds up nobody: a killed process keeps its keys for a while.
        """
        limits = httpx2.Limits(max_connections=None, keepalive_expiry=5)
        async with httpx2.AsyncClient(
            timeout=_REQUEST_TIMEOUT_SECONDS, trust_env=False, limits=limits, verify=self._tls or True
        ) as client:
            number = 0
            try:
                while not until() or len(self._history.acknowledged) < acknowledged_count:
                    await self._room.acquire()
                    if len(self._operations) >= self._most_waiting:
                        self._room.release()
                        await asyncio.sleep(0.05)
                        continue
                    task = asyncio.create_task(self._insist(client, number))
                    self._operations.add(task)
                    task.add_done_callback(self._forget)
                    number += 1
                    if self._pause_seconds:
                        await asyncio.sleep(self._pause_seconds)
            finally:
                for task in self._operations:
                    task.cancel()
                await asyncio.gather(*self._operations, return_exceptions=True)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._operations.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._history.surprise("a client", repr(error))

    async def _insist(self, client: httpx2.AsyncClient, number: int) -> None:
        """Send operation `number` until it is acknowledged; the caller has made room for the first try."""
        operation, request_id = self._make(number), f"{self._tag}-{number}"
        self._history.send(request_id, operation)
        tries = 0
        while True:
            tries += 1
            try:
                is_settled = await self._try(client, operation, request_id, number + tries, tries)
            finally:
                self._room.release()
            if is_settled:
                return
            wait = min(0.1 * 2**tries, _LONGEST_WAIT_SECONDS)
            await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311  # spreads the tries
            await self._room.acquire()

    async def _try(
        self, client: httpx2.AsyncClient, operation: Operation, request_id: str, turn: int, tries: int
    ) -> bool:
        """Send it once; returns whether it is settled, for better or for worse."""
        url = self._urls[turn % len(self._urls)]
        headers = {**operation.headers, "X-Request-ID": request_id}
        if operation.is_once:
            headers["Idempotency-Key"] = request_id
        started = time.monotonic()
        try:
            answer = await client.request(
                operation.method, url + operation.path, json=dict(operation.body), headers=headers
            )
        except httpx2.HTTPError as error:
            self._history.refuse(request_id, type(error).__name__)
            return False
        finally:
            self._history.slowest_seconds = max(self._history.slowest_seconds, time.monotonic() - started)
        if answer.is_success:
            body = answer.json() if answer.content else None
            self._history.acknowledge(Acknowledged(request_id, operation, time.monotonic(), tries, body))
            return True
        return self._refused(request_id, operation, answer)

    def _refused(self, request_id: str, operation: Operation, answer: httpx2.Response) -> bool:
        is_problem = answer.headers.get("content-type", "").startswith("application/problem+json")
        kind = str(answer.json().get("type", "")).rpartition("/")[2] if is_problem else "no problem+json"
        what = f"{answer.status_code} {kind}"
        if kind in _AGAIN:
            self._history.refuse(request_id, what)
            return False
        if kind == "concurrent-update":  # somebody else changed the same thing; with a key, that answer stays
            self._history.refuse(request_id, what)
            return operation.is_once
        self._history.surprise(request_id, f"{what}: {answer.text[:500]}")
        return True
