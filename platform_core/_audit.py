"""
The audit trail: who did what to which row, and the hash chain over it; private to the kernel.

Lines are written by the business statement itself. The chain is kept afterwards by one sequencer, so that requests
never wait for each other. Each line comes with a link that has no position yet; the sequencer gives it one, so nothing
hangs on the order in which transactions end, nor on anything that a restored backup would lose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from platform_core._pools import KERNEL, Pools
from platform_core._uow import Changes, Write, dumps
from platform_core.context import Context
from platform_core.domain import new_id

logger = structlog.get_logger("platform_core.audit")

_INSERT = (
    "INSERT INTO audit.audit_logs (id, actor_id, actor_label, action, resource_type, resource_id, changes, outcome,"
    " detail, ip, request_id, traceparent, occurred_at) VALUES (%(id)s, %(actor_id)s, %(actor_label)s, %(action)s,"
    " %(resource_type)s, %(resource_id)s, %(changes)s::jsonb, %(outcome)s, %(detail)s, %(ip)s::inet, %(request_id)s,"
    " %(traceparent)s, %(occurred_at)s)"
)

SEQUENCER_LOCK = 7_236_401
"""Advisory lock of the one process that extends the chain."""


def line(
    context: Context,
    *,
    action: str,
    outcome: str,
    now: datetime,
    changes: Changes | None = None,
    detail: str | None = None,
) -> tuple[Write, Write]:
    """
    Return the writes that add one line to the trail and queue it for the chain.

    Args:
        action: wire name of the command, or what was attempted.
        outcome: `done`, `refused` or `denied`.
        changes: rows before and after; secret columns are masked already.
        detail: the slug of the refusal.
    """
    resource = changes.resource if changes else None
    identity = new_id()
    queued = Write("INSERT INTO audit.audit_chain (audit_id) VALUES (%(audit_id)s)", {"audit_id": identity})
    entry = Write(
        _INSERT,
        {
            "id": identity,
            "actor_id": context.principal.user_id,
            "actor_label": context.principal.label,
            "action": action,
            "resource_type": resource[0] if resource else None,
            "resource_id": resource[1] if resource else None,
            "changes": dumps(changes.rows if changes else {}),
            "outcome": outcome,
            "detail": detail,
            "ip": context.ip,
            "request_id": context.request_id,
            "traceparent": context.traceparent,
            "occurred_at": now,
        },
    )
    return entry, queued


async def record_denied(
    pools: Pools, context: Context, *, action: str, outcome: str, detail: str | None = None
) -> None:
    """
    Add a line for something that did not happen, outside of any business transaction.

    A trail that cannot be written is logged, not raised: the refusal itself must reach the caller.
    """
    entry, queued = line(context, action=action, outcome=outcome, now=datetime.now(UTC), detail=detail)
    sql = f"WITH entry AS ({entry.sql}) {queued.sql}"
    try:
        async with pools.commands(KERNEL).connect() as connection:
            await connection.run(sql, {**entry.params, **queued.params})
    except Exception:
        logger.exception("audit line lost", action=action, outcome=outcome, detail=detail)


_FIELDS = (
    "id, actor_id, actor_label, action, resource_type, resource_id, changes, outcome, detail, host(ip) AS ip,"
    " request_id, traceparent, occurred_at"
)


def digest(row: Mapping[str, Any]) -> bytes:
    """Return the SHA-256 over every field of one line, in a fixed order and spelling."""
    ordered = [
        row["occurred_at"].astimezone(UTC).isoformat() if k == "occurred_at" else row[k] for k in _ORDER
    ]
    return hashlib.sha256(dumps(ordered).encode()).digest()


_ORDER = tuple(name.rpartition(" ")[2] for name in _FIELDS.split(", "))


def link(previous: bytes, position: int, digest_: bytes) -> bytes:
    """Return the chain's hash after one more line."""
    return hashlib.sha256(previous + position.to_bytes(8, "big") + digest_).digest()


GENESIS = hashlib.sha256(b"platform audit chain v1").digest()


async def extend_chain(connection: AsyncConnection[Any], *, batch_count: int = 1000) -> int:
    """
    Append lines to the chain that no running transaction can come before any more.

    Args:
        connection: autocommit, on the primary, as the kernel's role.

    Returns: how many lines were appended; 0 too when another sequencer is at work.
    """
    async with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute("SELECT pg_try_advisory_xact_lock(%s) AS mine", (SEQUENCER_LOCK,))
        row = await cursor.fetchone()
        if row is None or not row["mine"]:
            return 0
        await cursor.execute(
            "SELECT position, hash FROM audit.audit_chain WHERE position IS NOT NULL ORDER BY position DESC LIMIT 1"
        )
        last = await cursor.fetchone()
        position, previous = (last["position"], bytes(last["hash"])) if last else (0, GENESIS)
        await cursor.execute(
            f"SELECT {_FIELDS} FROM audit.audit_logs WHERE id IN (SELECT audit_id FROM audit.audit_chain"  # noqa: S608  # a constant
            " WHERE position IS NULL ORDER BY audit_id LIMIT %s) ORDER BY id",
            (batch_count,),
        )
        links: list[tuple[Any, ...]] = []
        for entry in await cursor.fetchall():
            position += 1
            digest_ = digest(entry)
            previous = link(previous, position, digest_)
            links.append((position, digest_, previous, entry["id"]))
        if links:
            await cursor.executemany(
                "UPDATE audit.audit_chain SET position = %s, digest = %s, hash = %s, chained_at = now()"
                " WHERE audit_id = %s",
                links,
            )
        return len(links)


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What a walk over the whole chain found.

    Attributes:
        lines_count: chained lines that were checked.
        head: hash of the last link, hex; keep it outside to notice a cut tail.
        broken_at: position of the first bad link, None when all is well.
        problem: what is wrong there.
        waiting_count: lines not chained yet.
    """

    lines_count: int
    head: str
    broken_at: int | None = None
    problem: str | None = None
    waiting_count: int = 0


async def verify(connection: AsyncConnection[Any], *, expected_head: str | None = None) -> Verdict:
    """
    Recompute the chain from its beginning.

    Args:
        connection: any that may read the schema `audit`, with no transaction begun: all is seen as of one moment.
        expected_head: a head noted earlier; it must still be part of the chain.
    """
    previous, count, seen_head = GENESIS, 0, expected_head is None
    async with connection.transaction():
        # else lines that are chained during the walk were neither checked nor waiting
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        async with connection.cursor("audit_walk", row_factory=dict_row) as cursor:
            await cursor.execute(
                f"SELECT c.position, c.digest, c.hash, l.* FROM audit.audit_chain c"  # noqa: S608  # a constant
                f" LEFT JOIN (SELECT {_FIELDS} FROM audit.audit_logs) l ON l.id = c.audit_id"
                " WHERE c.position IS NOT NULL ORDER BY c.position"
            )
            async for row in cursor:
                problem = _problem(row, previous, count)
                if problem is not None:
                    return Verdict(count, previous.hex(), count + 1, problem)
                previous, count = bytes(row["hash"]), count + 1
                seen_head = seen_head or previous.hex() == expected_head
        forged, waiting = await _unchained(connection)
    if not seen_head:
        return Verdict(
            count,
            previous.hex(),
            count + 1,
            "the head noted earlier is no longer part of the chain: its tail was cut",
        )
    if forged is not None:
        return Verdict(
            count, previous.hex(), count + 1, f"the line {forged} was slipped in behind the chain's back"
        )
    return Verdict(count, previous.hex(), waiting_count=waiting)


def _problem(row: Mapping[str, Any], previous: bytes, count: int) -> str | None:
    if row["position"] != count + 1:
        return f"link {count + 1} is missing"
    if row["id"] is None:
        return "its line was deleted"
    if digest(row) != bytes(row["digest"]):
        return f"the line {row['id']} was changed"
    if link(previous, row["position"], bytes(row["digest"])) != bytes(row["hash"]):
        return "its hash does not follow from the link before"
    return None


async def _unchained(connection: AsyncConnection[Any]) -> tuple[UUID | None, int]:
    """Return a line without any link, and how many lines wait for the sequencer."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            "SELECT (SELECT l.id FROM audit.audit_logs l WHERE NOT EXISTS"
            " (SELECT 1 FROM audit.audit_chain c WHERE c.audit_id = l.id) LIMIT 1) AS forged,"
            " (SELECT count(*) FROM audit.audit_chain WHERE position IS NULL) AS waiting"
        )
        row = await cursor.fetchone()
        assert row is not None  # noqa: S101  # an aggregate always answers
        return row["forged"], row["waiting"]
