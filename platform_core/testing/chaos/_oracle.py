"""
The oracle: what clients were told, laid beside what the platform holds; private to the test kit.

    every 2xx          → its row, its line in the audit trail, its events: each there, each once
    every event        → one delivery for each handler that subscribes to it, done
    every delivery     → its effect once, where the test says how effects are found
    no answer at all   → once or not at all
    every mail         → one Message-ID; a second copy only for a worker that died
    the audit trail    → `platform audit verify` finds nothing
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from platform_core.testing._processes import run_process

if TYPE_CHECKING:
    from uuid import UUID

    from platform_core.testing._platform import RunningPlatform
    from platform_core.testing.chaos._workload import History

Sql = Callable[..., Awaitable[list[dict[str, Any]]]]

_SETTLED = "SELECT count(*) AS n FROM platform.deliveries WHERE status = 'pending'"
_HASTENED = """
UPDATE platform.deliveries SET available_at = now()
WHERE status = 'pending' AND lease_token IS NULL AND attempts_count > 0 AND available_at > now()
  AND id <> ALL(%(already)s)
RETURNING id
"""
_CHAINED = "SELECT count(*) AS n FROM audit.audit_chain WHERE position IS NULL"


class Oracle:
    """
    Args:
        sql: asks the database, also between two crashes.
        effects: by handler, SQL that returns the `event_id` of every effect it had, duplicates too.
    """

    def __init__(self, sql: Sql, history: History, effects: Mapping[str, str]) -> None:
        self._sql, self._history, self._effects = sql, history, effects

    async def settled(self, *, within_seconds: float) -> float | None:
        """
        Wait until nothing is pending and the trail is chained; returns the seconds, None when it never was.

        Whom faults struck several times in a row rightly waits longer than anybody watches. Each such wait is ended
        once; who fails again, although nothing strikes any more, waits as the policy says and is told as pending.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        hastened: list[UUID] = []
        while loop.time() < started + within_seconds:
            hastened += [row["id"] for row in await self._sql(_HASTENED, already=hastened)]
            pending, waiting = [(await self._sql(ask))[0]["n"] for ask in (_SETTLED, _CHAINED)]
            if not pending and not waiting:
                return loop.time() - started
            await asyncio.sleep(0.1)
        return None

    async def findings(self) -> list[str]:
        """Return everything that is not as it was promised, a sentence each; nothing when all is well."""
        found: list[str] = [f"unexpected answer to {told}" for told in self._history.unexpected]
        found += [finding async for finding in self._rows()]
        found += [finding async for finding in self._trail()]
        found += [finding async for finding in self._events()]
        found += [finding async for finding in self._deliveries()]
        found += [finding async for finding in self._effects_once()]
        return found

    async def _rows(self) -> AsyncIterator[str]:
        promised: dict[str, set[str]] = defaultdict(set)
        for told in self._history.acknowledged:
            if told.operation.table is not None:
                identity = str(told.body["id"])
                if told.operation.is_once and identity in promised[told.operation.table]:
                    yield f"duplicate answer: {told.request_id} was promised the row of another, {identity}"
                promised[told.operation.table].add(identity)
        for table, identities in promised.items():
            rows = await self._sql(f"SELECT id FROM {table}")  # noqa: S608  # the test's own table
            for lost in identities - {str(row["id"]) for row in rows}:
                yield f"lost: {table} has no row {lost}, which was acknowledged"

    async def _trail(self) -> AsyncIterator[str]:
        lines = await self._sql(
            "SELECT request_id, action, resource_id FROM audit.audit_logs WHERE outcome = 'done'"
        )
        count = Counter((line["request_id"], line["action"]) for line in lines)
        for finding in self._counted(count, lambda operation: [operation.command], "audit line"):
            yield finding

    async def _events(self) -> AsyncIterator[str]:
        events = await self._sql("SELECT correlation_id, name FROM audit.domain_events")
        count = Counter((event["correlation_id"], event["name"]) for event in events)
        for finding in self._counted(count, lambda operation: operation.events, "event"):
            yield finding

    def _counted(
        self, count: Counter[tuple[str, str]], names: Callable[[Any], Sequence[str]], what: str
    ) -> Iterator[str]:
        told = {told.request_id for told in self._history.acknowledged}
        for request_id, operation in self._history.issued.items():
            for name in names(operation):
                times = count[request_id, name]
                if request_id in told and times == 0:
                    yield f"missing: {request_id} was acknowledged and left no {what} {name}"
                if operation.is_once and times > 1:
                    yield f"duplicate: {request_id} left {times} times the {what} {name}"

    async def _deliveries(self) -> AsyncIterator[str]:
        """Compare with the subscriptions, which are there since the start: no event may miss one."""
        wrong = await self._sql(
            "SELECT e.id, e.name, s.handler, count(d.id) AS n, min(d.status) AS status, min(d.last_error) AS error"
            " FROM audit.domain_events e JOIN platform.subscriptions s ON s.event_name = e.name"
            " LEFT JOIN platform.deliveries d ON d.event_id = e.id AND d.handler = s.handler"
            " GROUP BY e.id, e.name, s.handler HAVING count(d.id) <> 1 OR min(d.status) <> 'done'"
        )
        for row in wrong:
            yield (
                f"{row['name']} {row['id']} has {row['n']} deliveries to {row['handler']},"
                f" {row['status']}, {row['error']}"
            )
        jobs = await self._sql(
            "SELECT handler, status, last_error FROM platform.deliveries WHERE event_id IS NULL AND status <> 'done'"
        )
        for job in jobs:
            yield f"the job {job['handler']} is {job['status']}: {job['last_error']}"

    async def _effects_once(self) -> AsyncIterator[str]:
        for handler, effects in self._effects.items():
            count = Counter(row["event_id"] for row in await self._sql(effects))
            rows = await self._sql(
                "SELECT event_id FROM platform.deliveries WHERE status = 'done' AND handler = %(handler)s",
                handler=handler,
            )
            for event_id in {row["event_id"] for row in rows} - count.keys():
                yield f"lost effect: {handler} has none for the event {event_id}, whose delivery is done"
            for event_id, times in count.items():
                if times > 1:
                    yield f"duplicate effect: {handler} has {times} for the event {event_id}"


def doubled_mails(p: RunningPlatform) -> int:
    """Return how many mails arrived whose Message-ID had arrived before."""
    identities = Counter(mail.header("Message-ID") for mail in p.mails)
    return sum(identities.values()) - len(identities)


async def audit_problem(environment: Mapping[str, str]) -> str | None:
    """Run `platform audit verify`; returns what it says when it is not content."""
    with run_process(["platform", "audit", "verify"], env=environment) as process:
        code = await asyncio.to_thread(process.wait, timeout_seconds=120)
        return None if code == 0 else f"platform audit verify ended with {code}: {process.output.strip()}"
