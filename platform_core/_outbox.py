"""
Deliveries: who gets which event, claimed with a lease, finished in the handler's own statement; private to the kernel.

One row per (event, handler) and one per job. `available_at` is both the earliest next attempt and the end of a
lease: a delivery whose worker died is due again. Every attempt is counted before the handler runs, so that one which
kills its process still ends as a dead letter. The database's clock is the only one that counts.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Text, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, Insert, insert

from platform_core._pool import Pool
from platform_core._pools import translated
from platform_core._tables import subscriptions
from platform_core._uow import Write
from platform_core.declarations import Retry
from platform_core.domain import Command, Event
from platform_core.errors import LeaseLost, Unparsable


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    One leased delivery, with the event or job that it is about.

    Attributes:
        lease_token: whoever holds it may finish the delivery; nobody else.
        attempt: this one, counted from 1.
        position: of the event among all, rising within an aggregate; None for a job.
    """

    id: UUID
    handler: str
    lease_token: UUID
    attempt: int
    event_id: UUID | None
    position: int | None
    event_name: str | None
    event_version: int | None
    payload: Mapping[str, Any]
    aggregate_type: str
    aggregate_id: UUID | None
    actor_id: UUID | None
    actor_label: str
    correlation_id: str
    traceparent: str | None
    occurred_at: datetime

    @property
    def is_job(self) -> bool:
        return self.event_id is None

    def finished(self) -> Write:
        """Return the write that completes it, as part of the handler's own statement."""
        return Write(
            "UPDATE platform.deliveries SET status = 'done', lease_token = NULL, finished_at = now(), last_error = NULL"
            " WHERE id = %(id)s AND lease_token = %(token)s",
            {"id": self.id, "token": self.lease_token},
            expect=1,
            error=LeaseLost(f"delivery {self.id} was taken over by another worker"),
        )


ORPHANED = "no worker knows this handler"
BEYOND = "beyond this build"

_READABLE = (
    "COALESCE((SELECT e.version <= COALESCE(CAST(:newest ->> e.name AS integer), 0)"
    " FROM audit.domain_events e WHERE e.id = d.event_id), TRUE)"
)
"""Whether this build knows the event; a scalar subquery, so that the planner never reads all events to find out."""


_SUSPECT = "(d.lease_token IS NOT NULL AND d.attempts_count >= 2)"
"""Two workers died while they held it, or were thought to: whatever it is, it may take the next one along."""


def _knowing(sql: str) -> TextClause:
    """Return a statement about deliveries `d` that asks READABLE or SUSPECT."""
    return text(sql.replace("READABLE", _READABLE).replace("SUSPECT", _SUSPECT)).bindparams(
        bindparam("handlers", type_=ARRAY(Text)), bindparam("newest", type_=JSONB)
    )


_CLAIM = _knowing(
    """
    WITH due AS (
        SELECT found.id FROM unnest(:handlers, CAST(:rooms AS integer[])) AS able(handler, room)
        CROSS JOIN LATERAL (
            SELECT d.id FROM platform.deliveries d
            WHERE d.status = 'pending' AND d.available_at <= now() AND d.handler = able.handler
              AND (d.aggregate_id IS NULL OR NOT EXISTS (
                  SELECT 1 FROM platform.deliveries earlier
                  WHERE earlier.status = 'pending' AND earlier.handler = d.handler
                    AND earlier.aggregate_id = d.aggregate_id AND earlier.position < d.position))
              AND READABLE AND SUSPECT = :suspects
            ORDER BY d.available_at LIMIT able.room FOR UPDATE OF d SKIP LOCKED
        ) AS found LIMIT :count
    ), leased AS (
        UPDATE platform.deliveries d
        SET attempts_count = d.attempts_count + 1, lease_token = :token,
            available_at = now() + make_interval(secs => :lease_seconds)
        FROM due WHERE d.id = due.id
        RETURNING d.*
    )
    SELECT l.id, l.handler, l.lease_token, l.attempts_count AS attempt, l.event_id, l.position, e.name AS event_name,
           e.version AS event_version, COALESCE(e.payload, l.command) AS payload,
           COALESCE(e.aggregate_type, '') AS aggregate_type, l.aggregate_id,
           COALESCE(e.actor_id, (l.context ->> 'actor_id')::uuid) AS actor_id,
           COALESCE(l.context ->> 'label', 'event') AS actor_label,
           COALESCE(e.correlation_id, l.context ->> 'correlation_id', l.id::text) AS correlation_id,
           COALESCE(e.traceparent, l.context ->> 'traceparent') AS traceparent,
           COALESCE(e.occurred_at, l.created_at) AS occurred_at
    FROM leased l LEFT JOIN audit.domain_events e ON e.id = l.event_id
    ORDER BY l.position NULLS LAST, l.created_at
    """
)


async def claim(
    pool: Pool,
    rooms: Mapping[str, int],
    *,
    newest: Mapping[str, int],
    token: UUID,
    count: int,
    lease_seconds: float,
    suspects: bool = False,
) -> list[Delivery]:
    """
    Lease due deliveries, oldest first of each handler; none of an aggregate whose earlier event still waits.

    Events that are newer than this build are left to workers of the build that made them: during a rolling upgrade
    both are there.

    Args:
        rooms: handler → how many of its deliveries may be leased; who comes first is served first.
        newest: event name → the newest version that this build knows.
        token: of this claim; the same for all of them.
        count: how many may be leased of all handlers together.
        lease_seconds: after this they are due again unless extended.
        suspects: only such, or none, whose last two workers died with them; see `has_suspects`.
    """
    with translated():
        async with pool.connect() as connection:
            rows = await connection.fetch(
                _CLAIM,
                {
                    "handlers": list(rooms),
                    "rooms": list(rooms.values()),
                    "newest": dict(newest),
                    "token": token,
                    "count": count,
                    "lease_seconds": lease_seconds,
                    "suspects": suspects,
                },
            )
            return [Delivery(**row) for row in rows]


async def has_suspects(pool: Pool, handlers: Sequence[str], newest: Mapping[str, int]) -> bool:
    """
    Tell whether something is due that two workers died with.

    They died with everything that they held, so the culprit is among many innocents: each is run alone from then on.
    """
    statement = _knowing(
        "SELECT EXISTS (SELECT 1 FROM platform.deliveries d WHERE d.status = 'pending' AND d.available_at <= now()"
        " AND SUSPECT AND d.handler = ANY(:handlers) AND READABLE) AS found"
    )
    with translated():
        async with pool.connect() as connection:
            [row] = await connection.fetch(statement, {"handlers": list(handlers), "newest": dict(newest)})
            return bool(row["found"])


async def extend(pool: Pool, leases: Sequence[tuple[UUID, UUID]], *, lease_seconds: float) -> None:
    """Prolong the leases (delivery, token) of work that is still going on."""
    await _run(
        pool,
        "UPDATE platform.deliveries d SET available_at = now() + make_interval(secs => :lease_seconds)"
        " FROM unnest(CAST(:ids AS uuid[]), CAST(:tokens AS uuid[])) AS held(id, token)"
        " WHERE d.id = held.id AND d.lease_token = held.token",
        ids=[delivery for delivery, _ in leases],
        tokens=[token for _, token in leases],
        lease_seconds=lease_seconds,
    )


async def give_back(pool: Pool, leases: Sequence[tuple[UUID, UUID]]) -> None:
    """Make leased but unstarted deliveries due at once; the attempt does not count."""
    await _run(
        pool,
        "UPDATE platform.deliveries d SET available_at = now(), lease_token = NULL,"
        " attempts_count = GREATEST(attempts_count - 1, 0)"
        " FROM unnest(CAST(:ids AS uuid[]), CAST(:tokens AS uuid[])) AS held(id, token)"
        " WHERE d.id = held.id AND d.lease_token = held.token",
        ids=[delivery for delivery, _ in leases],
        tokens=[token for _, token in leases],
    )


async def fail(pool: Pool, delivery: Delivery, retry: Retry, error: str) -> str:
    """
    Note a failed attempt.

    Returns: `pending` when it will be repeated, `dead` when that was the last attempt.
    """
    if delivery.attempt >= retry.attempts_count:
        await _settle(pool, delivery, "dead", error)
        return "dead"
    await _run(
        pool,
        "UPDATE platform.deliveries SET lease_token = NULL, last_error = :error,"
        " available_at = now() + make_interval(secs => :wait) WHERE id = :id AND lease_token = :token",
        id=delivery.id,
        token=delivery.lease_token,
        error=error[:2000],
        wait=backoff_seconds(retry, delivery.attempt),
    )
    return "pending"


async def park(pool: Pool, delivery: Delivery, reason: str) -> None:
    """Set aside what this build knows and still cannot read; the next process that starts brings it back."""
    await _settle(pool, delivery, "parked", reason)


async def park_beyond(
    pool: Pool, handlers: Sequence[str], newest: Mapping[str, int], *, waited_seconds: float
) -> int:
    """
    Set aside events newer than this build that nobody has taken for a while: only workers of older builds run.

    Later events of the same aggregate need not wait for them any longer, and operators see why these do.

    Args:
        newest: event name → the newest version that this build knows.
    """
    return await _run(
        pool,
        _knowing(
            "UPDATE platform.deliveries d SET status = 'parked', lease_token = NULL, finished_at = now(), last_error ="
            " (SELECT format(:reason, e.name, e.version) FROM audit.domain_events e WHERE e.id = d.event_id)"
            " WHERE d.status = 'pending' AND d.available_at < now() - make_interval(secs => :waited)"
            " AND d.handler = ANY(:handlers) AND NOT READABLE"
        ),
        handlers=list(handlers),
        newest=dict(newest),
        waited=waited_seconds,
        reason=f"{BEYOND}: %s of version %s; a worker of a build that knows it delivers it by itself",
    )


async def revive_beyond(pool: Pool, handlers: Sequence[str], newest: Mapping[str, int]) -> int:
    """
    Make due again what older builds set aside and this one knows; they do not claim it, so it does not come back.

    Args:
        newest: event name → the newest version that this build knows.
    """
    return await _run(
        pool,
        _knowing(
            "UPDATE platform.deliveries d SET status = 'pending', available_at = now(), attempts_count = 0,"
            " finished_at = NULL WHERE d.status = 'parked' AND d.last_error LIKE :beyond"
            " AND d.handler = ANY(:handlers) AND READABLE"
        ),
        handlers=list(handlers),
        newest=dict(newest),
        beyond=f"{BEYOND}%",
    )


def backoff_seconds(retry: Retry, attempt: int) -> float:
    """Return the wait after the given attempt: doubling, capped, with up to 25 % jitter on top."""
    wait: float = min(retry.first_seconds * 2 ** (attempt - 1), retry.longest_seconds)
    return wait * (1 + random.random() / 4)  # noqa: S311  # jitter, no secret


def subscribing(known: Sequence[tuple[str, str | None, str]]) -> Insert:
    """Return the statement that makes handlers known to every producer: (handler, event name or None, module)."""
    rows = [
        {"handler": handler, "event_name": event, "module": module}
        for handler, event, module in sorted(known)
    ]
    statement = insert(subscriptions).values(rows)
    return statement.on_conflict_do_update(
        index_elements=["handler"],
        set_={
            "event_name": statement.excluded.event_name,
            "module": statement.excluded.module,
            "seen_at": text("now()"),
        },
    )


async def sync_subscriptions(pool: Pool, known: Sequence[tuple[str, str | None, str]]) -> None:
    """
    Make the handlers of this process known to every producer, and their parked or orphaned deliveries due again.

    Args:
        known: (handler, event name or None for a task, module).
    """
    if not known:
        return
    async with pool.connect() as connection:
        await connection.run(subscribing(known))
        await connection.run(
            text(
                "UPDATE platform.deliveries SET status = 'pending', available_at = now(), attempts_count = 0,"
                " finished_at = NULL"
                " WHERE handler = ANY(:handlers)"
                " AND (status = 'parked' OR (status = 'dead' AND last_error LIKE :orphaned))"
            ).bindparams(bindparam("handlers", type_=ARRAY(Text))),
            {"handlers": [handler for handler, _, _ in known], "orphaned": f"{ORPHANED}%"},
        )


async def bury_orphans(pool: Pool, *, orphan_seconds: float) -> int:
    """
    Turn deliveries into dead letters whose handler no worker has had for a while: its module was uninstalled.

    "A while" counts from the latest moment at which any worker was seen, so that an outage of all of them buries
    nothing. The subscription stays: whatever happens until the module comes back is kept for it.
    """
    return await _run(
        pool,
        "WITH gone AS (SELECT handler, module FROM platform.subscriptions WHERE seen_at <"
        " (SELECT max(seen_at) FROM platform.subscriptions) - make_interval(secs => :age))"
        " UPDATE platform.deliveries d SET status = 'dead', lease_token = NULL,"
        " finished_at = now(), last_error = format(:reason, gone.module) FROM gone"
        " WHERE d.handler = gone.handler AND d.status = 'pending'",
        age=orphan_seconds,
        reason=f"{ORPHANED} any more: the module %s is not installed; install it again, and this is delivered",
    )


async def touch_subscriptions(pool: Pool, handlers: Sequence[str]) -> None:
    """Tell that a living worker knows these handlers."""
    statement = text("UPDATE platform.subscriptions SET seen_at = now() WHERE handler = ANY(:handlers)")
    with translated():
        async with pool.connect() as connection:
            await connection.run(
                statement.bindparams(bindparam("handlers", type_=ARRAY(Text))), {"handlers": list(handlers)}
            )


async def purge(
    pool: Pool, *, retention_days: float, keep: Sequence[str] = (), batch_count: int = 5000
) -> int:
    """
    Delete finished deliveries older than the retention, in batches that block nobody; events stay.

    Args:
        keep: keys of jobs that stay, because somebody will still ask for them.
    """
    total = 0
    while True:
        gone = await _run(
            pool,
            "DELETE FROM platform.deliveries WHERE id IN (SELECT id FROM platform.deliveries WHERE status = 'done'"
            " AND finished_at < now() - make_interval(secs => :age)"
            " AND (job_key IS NULL OR job_key <> ALL(CAST(:keep AS text[]))) LIMIT :count)",
            age=retention_days * 86400,
            keep=list(keep),
            count=batch_count,
        )
        total += gone
        if gone < batch_count:
            return total


class EventCodec:
    """
    Reads stored events and jobs into the classes of this build, old versions through their upcasters.

    Args:
        events: every event class that this build can meet, by wire name.
        commands: every command class that may have been stored as a job, by wire name.

    Attributes:
        newest: event name → the newest version that this build knows.
    """

    def __init__(self, events: Mapping[str, type[Event]], commands: Mapping[str, type[Command[Any]]]) -> None:
        self._events, self._commands = dict(events), dict(commands)
        self.newest = {name: event.wire_version for name, event in events.items()}
        self._adapters: dict[type[Any], TypeAdapter[Any]] = {}

    def prepare(self) -> None:
        """Make every reader now, as a worker does before it begins; who reads nothing, such as an API, needs none."""
        for shape in (*self._events.values(), *self._commands.values()):
            self._adapter(shape)

    def event(self, name: str, version: int, payload: Mapping[str, Any]) -> Event:
        """
        Return the event that was stored.

        Raises:
            Unparsable: the name is unknown, the version is newer than this build, or the payload does not fit.
        """
        if version > self.newest.get(name, 0):
            raise Unparsable(f"{BEYOND}: {name} of version {version}")
        event = self._events[name]
        data = _fields(name, payload)
        for step in range(version, event.wire_version):
            upcast = event.upcasters.get(step)
            if upcast is None:
                raise Unparsable(f"{name} has no upcaster from version {step}")
            try:
                data = upcast(data)
            except Exception as error:  # an upcaster takes for granted that its fields are there
                raise Unparsable(f"{name} version {step} does not fit its upcaster: {error!r}") from error
        try:
            return cast("Event", self._adapter(event).validate_python(data))
        except ValidationError as error:
            fields = ", ".join(sorted({str(detail["loc"][0]) for detail in error.errors() if detail["loc"]}))
            raise Unparsable(f"{name} version {version} does not fit its class: {fields}") from error

    def command(self, name: str, payload: Mapping[str, Any]) -> Command[Any]:
        """Return the stored command; raises as `event` does."""
        if name not in self._commands:
            raise Unparsable(f"this build knows no task {name}")
        try:
            command = self._adapter(self._commands[name]).validate_python(_fields(name, payload))
            return cast("Command[Any]", command)
        except ValidationError as error:
            raise Unparsable(f"the stored {name} does not fit its class") from error

    def _adapter(self, shape: type[Any]) -> TypeAdapter[Any]:
        adapter = self._adapters.get(shape)
        if adapter is None:
            adapter = self._adapters[shape] = TypeAdapter(shape)
        return adapter


def _fields(name: str, payload: object) -> dict[str, Any]:
    if not isinstance(payload, Mapping):  # JSON knows more than objects
        raise Unparsable(f"the stored {name} does not fit its class: it is no object")
    return dict(payload)


async def _settle(pool: Pool, delivery: Delivery, status: str, reason: str) -> None:
    await _run(
        pool,
        "UPDATE platform.deliveries SET status = :status, lease_token = NULL, finished_at = now(), last_error = :reason"
        " WHERE id = :id AND lease_token = :token",
        id=delivery.id,
        token=delivery.lease_token,
        status=status,
        reason=reason[:2000],
    )


async def _run(pool: Pool, sql: str | TextClause, **params: Any) -> int:
    statement = text(sql) if isinstance(sql, str) else sql
    with translated():
        async with pool.connect() as connection:
            return await connection.run(statement, params)
