"""What the database knows of projections, and the events that they are made of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, Text, Uuid, bindparam, func, text, update
from sqlalchemy.dialects.postgresql import ARRAY

from platform_core._pool import Pool
from platform_core._pools import translated
from platform_core._tables import projections
from platform_core.declarations import Projection

REGISTER: Final = text(
    "INSERT INTO platform.projections (name, module, status, since)"
    " SELECT known.name, known.module, known.status, pg_current_xact_id()::text::bigint"
    " FROM unnest(:names, :modules, :statuses) AS known(name, module, status)"
    " ON CONFLICT (name) DO UPDATE SET module = EXCLUDED.module"
).bindparams(*(bindparam(name, type_=ARRAY(Text)) for name in ("names", "modules", "statuses")))

REQUEST: Final = (
    update(projections)
    .where(projections.c.name == bindparam("projection", type_=Text), projections.c.status == "live")
    .values(
        status="replaying",
        since=text("pg_current_xact_id()::text::bigint"),
        target=None,
        cursor=None,
        done_count=0,
        total_count=None,
        requested_at=func.now(),
        finished_at=None,
    )
)

# Whoever wrote an event before the subscriptions were known made no delivery of it: all of them have to be through.
HOLD: Final = text(
    "SELECT target, cursor, done_count, total_count,"
    " pg_snapshot_xmin(pg_current_snapshot())::text::bigint > since AS is_due,"
    " set_config('statement_timeout', '0', true)"
    " FROM platform.projections WHERE name = :name AND status = 'replaying' FOR UPDATE"
)

PREPARE: Final = text(
    "UPDATE platform.projections SET target = found.target, total_count = found.total_count FROM"
    " (SELECT COALESCE(max(position), 0) AS target, count(DISTINCT aggregate_id) AS total_count"
    " FROM audit.domain_events WHERE name = ANY(:events)) AS found WHERE projections.name = :name"
    " RETURNING projections.target, projections.total_count"
).bindparams(bindparam("events", type_=ARRAY(Text)))

NEXT: Final = text(
    "SELECT DISTINCT aggregate_id FROM audit.domain_events WHERE name = ANY(:events) AND position <= :target"
    " AND aggregate_id > COALESCE(CAST(:cursor AS uuid), '00000000-0000-0000-0000-000000000000'::uuid)"
    " ORDER BY aggregate_id LIMIT :count"
).bindparams(
    bindparam("events", type_=ARRAY(Text)),
    bindparam("target", type_=BigInteger),
    bindparam("cursor", type_=Uuid),
)

ADVANCE: Final = text(
    "UPDATE platform.projections SET cursor = :cursor, done_count = done_count + :count WHERE name = :name"
    " RETURNING done_count"
).bindparams(bindparam("cursor", type_=Uuid))

FINISH: Final = text(
    "UPDATE platform.projections SET status = 'live', cursor = NULL, finished_at = now() WHERE name = :name"
    " RETURNING name"
)

_EVENTS: Final = text(
    "SELECT id, position, name, version, aggregate_type, aggregate_id, payload, actor_id, correlation_id, traceparent,"
    " occurred_at FROM audit.domain_events WHERE aggregate_id = ANY(:aggregates) AND name = ANY(:events)"
    " AND (aggregate_id, position) > (:aggregate, :position)"
    " ORDER BY aggregate_id, position LIMIT :count"
).bindparams(
    bindparam("aggregates", type_=ARRAY(Uuid)),
    bindparam("events", type_=ARRAY(Text)),
    bindparam("aggregate", type_=Uuid),
    bindparam("position", type_=BigInteger),
)
_EVENTS_COUNT: Final = 1000
"""How many events are in memory at once: some aggregates have had very many."""

_REPLAYING: Final = text(
    "SELECT name FROM platform.projections WHERE status = 'replaying' AND name = ANY(:names) ORDER BY requested_at"
).bindparams(bindparam("names", type_=ARRAY(Text)))

_LOOK: Final = text(
    "SELECT p.name, p.module, p.status, p.done_count, p.total_count, p.requested_at, p.finished_at,"
    " COALESCE(w.waiting_seconds, 0) AS waiting_seconds, COALESCE(w.dead_count, 0) AS dead_count"
    " FROM platform.projections p LEFT JOIN ("
    "  SELECT k.projection, max(extract(epoch FROM clock_timestamp() - oldest.created_at))::float8 AS waiting_seconds,"
    "   sum((SELECT count(*) FROM (SELECT FROM platform.deliveries d WHERE d.handler = k.handler AND d.status = 'dead'"
    "    LIMIT 10000) AS dead))::int AS dead_count"
    "  FROM unnest(:projections, :handlers) AS k(projection, handler) LEFT JOIN LATERAL ("
    "   SELECT d.created_at FROM platform.deliveries d WHERE d.handler = k.handler AND d.status = 'pending'"
    "   ORDER BY d.available_at LIMIT 1) AS oldest ON TRUE GROUP BY k.projection"
    " ) AS w ON w.projection = p.name WHERE p.name = ANY(:names) ORDER BY p.name"
).bindparams(*(bindparam(name, type_=ARRAY(Text)) for name in ("projections", "handlers", "names")))


async def register(pool: Pool, modules: Mapping[str, str], starts: Mapping[str, str]) -> None:
    """
    Make projections known; a new one that starts at the beginning is replayed.

    Args:
        modules: name → its module.
        starts: name → where it starts.
    """
    if not modules:
        return
    values = {
        "names": list(modules),
        "modules": list(modules.values()),
        "statuses": ["replaying" if starts[name] == "beginning" else "live" for name in modules],
    }
    await _fetch(pool, REGISTER, values, rows=False)


async def replaying(pool: Pool, names: Iterable[str]) -> list[str]:
    """Return which of these are not made yet."""
    return [row["name"] for row in await _fetch(pool, _REPLAYING, {"names": list(names)})]


async def events_of(
    pool: Pool, aggregates: Sequence[Any], events: Sequence[str]
) -> AsyncIterator[dict[str, Any]]:
    """
    Go through every event of these names of some aggregates: one aggregate after the other, each in order.

    One that is stored meanwhile may be left out; its own delivery comes later, and shows it.
    """
    values = {"aggregates": list(aggregates), "events": list(events), "count": _EVENTS_COUNT}
    # before everything there is: "or from the beginning" would be no condition of an index, once a plan is kept
    last: dict[str, Any] = {"aggregate_id": UUID(int=0), "position": -1}
    while True:
        rows = await _fetch(
            pool, _EVENTS, values | {"aggregate": last["aggregate_id"], "position": last["position"]}
        )
        for row in rows:
            yield row
        if len(rows) < _EVENTS_COUNT:
            return
        last = rows[-1]


async def look(pool: Pool, known: Sequence[Projection]) -> list[dict[str, Any]]:
    """
    Return how each projection stands.

    `waiting_seconds` is the age of the event that has waited longest, `dead_count` how many nobody will try again.
    """
    pairs = [(projection.name, handler.name) for projection in known for handler in projection.handlers]
    values = {
        "projections": [projection for projection, _ in pairs],
        "handlers": [handler for _, handler in pairs],
        "names": [projection.name for projection in known],
    }
    return await _fetch(pool, _LOOK, values)


async def _fetch(
    pool: Pool, statement: Any, values: Mapping[str, Any], *, rows: bool = True
) -> list[dict[str, Any]]:
    with translated():
        async with pool.connect() as connection:
            if rows:
                return await connection.fetch(statement, values)
            await connection.run(statement, values)
            return []
