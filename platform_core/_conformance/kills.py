"""What is there when a worker dies inside of one of the module's event handlers, and when an event comes twice."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from platform_core._conformance import doomed
from platform_core._conformance.events import Unimaginable, imagined
from platform_core._conformance.grades import Finding, NotRun, remark
from platform_core._conformance.ground import Ground
from platform_core._conformance.routes import known_identities
from platform_core._conformance.subject import Subject
from platform_core._pools import KERNEL
from platform_core._uow import SqlUnitOfWork
from platform_core.context import Context
from platform_core.declarations import Subscription
from platform_core.domain import Event, new_id
from platform_core.security import SYSTEM
from platform_core.testing import RunningPlatform, StoredDelivery
from platform_core.testing._forks import Nursery

_SECONDS: Final = 180
_OF_TABLE: Final = """SELECT to_jsonb(t) - 'updated_at' - 'version' AS row FROM "{}"."{}" t"""
"""A second look at a row may change its version, and nothing else."""

_EVENTS: Final = "SELECT to_jsonb(id) AS row FROM audit.domain_events WHERE name LIKE %(own)s"
_JOBS: Final = (
    "SELECT to_jsonb(id) AS row FROM platform.deliveries WHERE event_id IS NULL AND handler LIKE %(own)s"
)
_DIGEST: Final = (
    "SELECT count(*) AS n, coalesce(md5(string_agg(row::text, '|' ORDER BY row::text)), '') AS digest"
    " FROM ({}) AS found"
)


def check(subject: Subject, ground: Ground) -> Iterator[Finding]:
    """
    Yield each handler that leaves something half done, or does it twice.

    Raises:
        NotRun: it hears events, and none of its handlers could be tried.
    """
    attempts = asyncio.run(_attempts(subject, ground))
    if attempts:
        yield from concluded(attempts)
    else:
        yield remark(subject.name, "it hears no events")


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    What came of one handler.

    Attributes:
        not_tried: why it was not killed and repeated; empty where it was.
    """

    handler: str
    findings: Sequence[Finding] = ()
    not_tried: str = ""


def concluded(attempts: Sequence[Attempt]) -> Iterator[Finding]:
    """
    Yield what was found, and which handlers were not tried.

    Raises:
        NotRun: none was; nobody knows then what a dying worker would leave.
    """
    for attempt in attempts:
        yield from attempt.findings
        if attempt.not_tried:
            yield remark(attempt.handler, attempt.not_tried)
    if all(attempt.not_tried for attempt in attempts):
        raise NotRun("none of its handlers could be tried")


async def _attempts(subject: Subject, ground: Ground) -> Sequence[Attempt]:
    async with ground.platform(seeds=True) as p:
        subscriptions = p.kernel.declared[subject.name].subscriptions
        if not subscriptions:
            return []
        with contextlib.closing(Nursery(subject.scratch, p.environment)) as nursery:
            trial = _Trial(subject, p, nursery)
            return [await trial.attempt(one) for one in subscriptions]


class _Trial:
    """Kills workers at one handler after the other."""

    def __init__(self, subject: Subject, p: RunningPlatform, nursery: Nursery) -> None:
        self._subject, self._p, self._nursery = subject, p, nursery

    async def attempt(self, subscription: Subscription) -> Attempt:
        name = subscription.name
        try:
            event = imagined(subscription.event, await known_identities(self._p))
        except Unimaginable as reason:
            return Attempt(name, not_tried=f"not tried, because nobody could invent its event: {reason}")
        before = await self._rows()
        await self._happened(event, name)
        ended = await self._killed(name)
        if ended != -signal.SIGKILL:
            told = f"a worker was to be killed inside of it, and ended with {ended}"
            return Attempt(name, not_tried=told)
        found = self._compared(
            name,
            before,
            await self._rows(),
            "a worker killed before its commit leaves {}",
            "write through UnitOfWork and repositories only, which commit once, with the delivery",
        )
        first = await self._delivered(name)
        if first.status != "done":
            return Attempt(name, found, f"it refused the invented event: {first.last_error}")
        once = await self._rows()
        again = (await self._p.redeliver(name))[0]
        if again.status != "done":
            hint = "look first whether it has been done, and be content"
            twice = Finding(name, f"an event that comes twice fails: {again.last_error}", hint)
            return Attempt(name, [*found, twice])
        hint = "let a unique constraint decide: ON CONFLICT DO NOTHING, or look whether it is there already"
        repeated = self._compared(name, once, await self._rows(), "an event that comes twice leaves {}", hint)
        return Attempt(name, [*found, *repeated])

    async def _happened(self, event: Event, handler: str) -> None:
        """Store an event as its owner would, for this handler alone."""
        p = self._p
        uow = SqlUnitOfWork(p.kernel.pools.commands(KERNEL), p.clock, Context(principal=SYSTEM))
        uow.emit(event, aggregate_type=event.wire_name.rpartition(".")[0], aggregate_id=_aggregate(event))
        await uow.commit()
        await uow.close()
        await p.sql(
            "DELETE FROM platform.deliveries WHERE status = 'done' OR handler <> %(handler)s", handler=handler
        )

    async def _killed(self, handler: str) -> int:
        """Run a worker that dies between handler and commit; return how it ended."""
        program = Path(doomed.__file__)
        environment = {**self._p.environment, doomed.VARIABLE: handler}
        with self._nursery.run("worker", env=environment, program=program) as worker:
            ended = await asyncio.to_thread(worker.wait, timeout_seconds=_SECONDS)
        # what the dead worker held is due when its lease is over; nobody waits for that here
        await self._p.sql(
            "UPDATE platform.deliveries SET available_at = now() WHERE status = 'pending' AND handler = %(handler)s",
            handler=handler,
        )
        return ended

    async def _delivered(self, handler: str) -> StoredDelivery:
        await self._p.deliver(skip_waits=True)
        return (await self._p.deliveries(handler))[-1]

    async def _rows(self) -> dict[str, tuple[int, str]]:
        """Return table → how many rows it has, and a digest of what is in them; events and jobs of the module, too."""
        name = self._subject.name
        tables: list[dict[str, Any]] = await self._p.sql(
            "SELECT tablename AS name FROM pg_tables WHERE schemaname = %(schema)s", schema=name
        )
        # names are those of the catalogue
        queries = {f"{name}.{t['name']}": _OF_TABLE.format(name, t["name"]) for t in tables}
        queries |= {"its events": _EVENTS, "its jobs": _JOBS}
        found: dict[str, tuple[int, str]] = {}
        for what, query in queries.items():
            [row] = await self._p.sql(_DIGEST.format(query), own=f"{name}.%")
            found[what] = row["n"], row["digest"]
        return found

    def _compared(
        self,
        handler: str,
        before: dict[str, tuple[int, str]],
        after: dict[str, tuple[int, str]],
        told: str,
        hint: str,
    ) -> list[Finding]:
        return [
            Finding(handler, told.format(_difference(what, before[what][0], after[what][0])), hint)
            for what in before
            if before[what] != after.get(what)
        ]


def _difference(what: str, before: int, after: int) -> str:
    more = after - before
    if not more:
        return f"other content in {what}"
    return f"{abs(more)} {'more' if more > 0 else 'fewer'} in {what}"


def _aggregate(event: Event) -> UUID:
    """Return the identity that an event is about: its first one."""
    return next((value for value in vars(event).values() if isinstance(value, UUID)), new_id())
