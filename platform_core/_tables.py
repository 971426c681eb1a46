"""
The kernel's own tables: schema `platform` for what it keeps, `audit` for the trail; private to the kernel.

`alembic/versions/` creates them; a test compares both.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INET, JSONB

from platform_core.db import module_metadata

PLATFORM = module_metadata("platform")
AUDIT = module_metadata("audit")


def _moment(name: str, *, nullable: bool = False, **options: Any) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=nullable, **options)


domain_events = Table(
    "domain_events",
    AUDIT,
    Column("id", Uuid, primary_key=True),
    Column("position", BigInteger, Identity(always=True), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("aggregate_type", Text, nullable=False),
    Column("aggregate_id", Uuid, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("actor_id", Uuid),
    Column("correlation_id", Text, nullable=False),
    Column("causation_id", Uuid),
    Column("traceparent", Text),
    _moment("occurred_at"),
    Index("ix_domain_events_aggregate_id", "aggregate_id", "position"),
    Index("ix_domain_events_name", "name", "position"),
    comment="Append-only: the outbox and the event store in one.",
)

audit_logs = Table(
    "audit_logs",
    AUDIT,
    Column("id", Uuid, primary_key=True),
    Column("actor_id", Uuid),
    Column("actor_label", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("resource_type", Text),
    Column("resource_id", Uuid),
    Column("changes", JSONB, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("detail", Text),
    Column("ip", INET),
    Column("request_id", Text, nullable=False),
    Column("traceparent", Text),
    _moment("occurred_at"),
    Index("ix_audit_logs_actor_id", "actor_id", "id"),
    Index("ix_audit_logs_resource_id", "resource_id", "id"),
    comment="Who did what to which row; nobody may change or delete a line.",
)

audit_chain = Table(
    "audit_chain",
    AUDIT,
    Column("audit_id", Uuid, primary_key=True),
    Column("position", BigInteger, unique=True),
    Column("digest", LargeBinary),
    Column("hash", LargeBinary),
    _moment("chained_at", nullable=True),
    Index("ix_audit_chain_waiting", "audit_id", postgresql_where=text("position IS NULL")),
    comment="One link per audit line, hash = SHA-256(previous hash, position, digest); no position: waiting.",
)

subscriptions = Table(
    "subscriptions",
    PLATFORM,
    Column("handler", Text, primary_key=True),
    Column("event_name", Text),
    Column("module", Text, nullable=False),
    _moment("seen_at", server_default=func.now()),
    Index("ix_subscriptions_event_name", "event_name"),
    comment="Who subscribes to what (no event: a task); producers of every release write deliveries from it.",
)

deliveries = Table(
    "deliveries",
    PLATFORM,
    Column("id", Uuid, primary_key=True),
    Column("handler", Text, nullable=False),
    Column("event_id", Uuid),
    Column("position", BigInteger),
    Column("aggregate_id", Uuid),
    Column("command", JSONB),
    Column("context", JSONB),
    Column("job_key", Text),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("attempts_count", Integer, nullable=False, server_default="0"),
    _moment("available_at", server_default=func.now()),
    Column("lease_token", Uuid),
    Column("last_error", Text),
    _moment("created_at", server_default=func.now()),
    _moment("finished_at", nullable=True),
    CheckConstraint("status IN ('pending', 'done', 'dead', 'parked')", name="status"),
    CheckConstraint("(event_id IS NULL) <> (command IS NULL)", name="event_or_job"),
    CheckConstraint("lease_token IS NULL OR status = 'pending'", name="lease"),
    Index("ix_deliveries_ready", "handler", "available_at", postgresql_where=text("status = 'pending'")),
    Index(
        "ix_deliveries_order",
        "handler",
        "aggregate_id",
        "position",
        postgresql_where=text("status = 'pending' AND aggregate_id IS NOT NULL"),
    ),
    Index("ix_deliveries_status", "status", "finished_at", postgresql_where=text("status <> 'pending'")),
    Index("ix_deliveries_event_id", "event_id"),
    Index("uq_deliveries_job_key", "job_key", unique=True, postgresql_where=text("job_key IS NOT NULL")),
    comment="One row per (event, handler), and one per job: what still has to happen.",
    # done rows are rewritten once and soon deleted: leave room for updates on the same page
    postgresql_with={"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.02"},
)

sagas = Table(
    "sagas",
    PLATFORM,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("definition", Integer, nullable=False),
    Column("status", Text, nullable=False, server_default="running"),
    Column("steps", JSONB, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("actor_id", Uuid),
    Column("correlation_id", Text, nullable=False),
    _moment("created_at", server_default=func.now()),
    _moment("updated_at", server_default=func.now()),
    _moment("finished_at", nullable=True),
    CheckConstraint(
        "status IN ('running', 'compensating', 'completed', 'compensated', 'needs_attention')", name="status"
    ),
    Index("ix_sagas_name", "name", "id"),
    Index(
        "ix_sagas_status", "status", "id", postgresql_where=text("status NOT IN ('completed', 'compensated')")
    ),
    Index(
        "ix_sagas_finished_at",
        "finished_at",
        postgresql_where=text("status IN ('completed', 'compensated')"),
    ),
    comment="Runs of sagas, each pinned to a version of its definition; the delivery of the same id is its lease.",
)

saga_log = Table(
    "saga_log",
    PLATFORM,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("saga_id", Uuid, ForeignKey(sagas.c.id, ondelete="CASCADE"), nullable=False),
    _moment("at", server_default=func.clock_timestamp()),
    Column("step", Text),
    Column("what", Text, nullable=False),
    Column("detail", Text),
    Index("ix_saga_log_saga_id", "saga_id", "id"),
    comment="What happened to each run, step by step; only ever added to.",
)

projections = Table(
    "projections",
    PLATFORM,
    Column("name", Text, primary_key=True),
    Column("module", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("target", BigInteger),
    Column("cursor", Uuid),
    Column("done_count", Integer, nullable=False, server_default="0"),
    Column("total_count", Integer),
    _moment("requested_at", server_default=func.now()),
    _moment("finished_at", nullable=True),
    CheckConstraint("status IN ('replaying', 'live')", name="status"),
    comment="Read models; a replaying one is being made of its events, aggregate by aggregate, as far as `cursor`.",
)

idempotency_keys = Table(
    "idempotency_keys",
    PLATFORM,
    Column("key", LargeBinary, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("status", SmallInteger),
    Column("headers", JSONB),
    Column("body", LargeBinary),
    _moment("locked_until"),
    _moment("created_at", server_default=func.now()),
    Column("module", Text),
    Index("ix_idempotency_keys_created_at", "created_at"),
    comment="First answers of POST requests that carried an Idempotency-Key.",
)

seeds = Table(
    "seeds",
    PLATFORM,
    Column("module", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("tier", Text, nullable=False),
    Column("runs_count", Integer, nullable=False, server_default="1"),
    _moment("applied_at", server_default=func.now()),
    comment="Which seeds have been applied, and when last.",
)

migrations = Table(
    "migrations",
    PLATFORM,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("module", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    _moment("applied_at", server_default=func.now()),
    comment="The order in which revisions were applied over all modules; `downgrade -1` takes back the last.",
)

modules = Table(
    "modules",
    PLATFORM,
    Column("name", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("links", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("role", Text),
    _moment("seen_at", server_default=func.now()),
    Column("requires", ARRAY(Text), nullable=False, server_default=text("'{}'::text[]")),
    Column("permissions", ARRAY(Text), nullable=False, server_default=text("'{}'::text[]")),
    Column("exported", JSONB),
    comment="Every module that was ever migrated here, its database role, and the links put in place for it.",
)

module_switches = Table(
    "module_switches",
    PLATFORM,
    Column("id", SmallInteger, primary_key=True, autoincrement=False, server_default="1"),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("off", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    CheckConstraint("id = 1", name="only_one"),
    comment="One row: which modules are switched off, and how often that has changed.",
)
