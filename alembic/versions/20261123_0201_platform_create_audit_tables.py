"""
create the audit trail: events, lines and the chain over them

Nobody but the owner of these tables, the migrator, may change or delete a row: roles get SELECT and INSERT
(`platform_core/_roles.py`).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "platform_0002"
down_revision = "platform_0001"
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "audit_chain",
        sa.Column("audit_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.Column("hash", sa.LargeBinary(), nullable=True),
        sa.Column("chained_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("audit_id", name=op.f("pk_audit_chain")),
        sa.UniqueConstraint("position", name=op.f("uq_audit_chain_position")),
        schema="audit",
        comment="One link per audit line, hash = SHA-256(previous hash, position, digest); no position: waiting.",
    )
    op.create_index(
        "ix_audit_chain_waiting",
        "audit_chain",
        ["audit_id"],
        unique=False,
        schema="audit",
        postgresql_where=sa.text("position IS NULL"),
    )
    op.create_table(
        "audit_logs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("actor_label", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("resource_type", sa.Text(), nullable=True),
        sa.Column("resource_id", sa.Uuid(), nullable=True),
        sa.Column("changes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("ip", postgresql.INET(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_logs")),
        schema="audit",
        comment="Who did what to which row; nobody may change or delete a line.",
    )
    op.create_index("ix_audit_logs_actor_id", "audit_logs", ["actor_id", "id"], unique=False, schema="audit")
    op.create_index(
        "ix_audit_logs_resource_id", "audit_logs", ["resource_id", "id"], unique=False, schema="audit"
    )
    op.create_table(
        "domain_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("aggregate_type", sa.Text(), nullable=False),
        sa.Column("aggregate_id", sa.Uuid(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("causation_id", sa.Uuid(), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_domain_events")),
        sa.UniqueConstraint("position", name=op.f("uq_domain_events_position")),
        schema="audit",
        comment="Append-only: the outbox and the event store in one.",
    )
    op.create_index(
        "ix_domain_events_aggregate_id",
        "domain_events",
        ["aggregate_id", "position"],
        unique=False,
        schema="audit",
    )
    op.create_index(
        "ix_domain_events_name", "domain_events", ["name", "position"], unique=False, schema="audit"
    )


def downgrade() -> None:
    op.drop_table("domain_events", schema="audit")
    op.drop_table("audit_logs", schema="audit")
    op.drop_table("audit_chain", schema="audit")
