"""
create the kernel's tables and the functions its statements call
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "platform_0001"
down_revision = None
phase = "expand"

# Bits 52 and 53 turn the random version-4 identifier into version 7; its first 48 bits are the time in milliseconds.
UUID7 = """
CREATE FUNCTION platform.uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(
        set_bit(set_bit(
            overlay(
                uuid_send(gen_random_uuid())
                PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                FROM 1 FOR 6
            ), 52, 1), 53, 1),
        'hex')::uuid
$$
"""

EXPECT = """
CREATE FUNCTION platform.expect(write_index integer, actual bigint, expected integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF actual <> expected THEN
        RAISE EXCEPTION USING ERRCODE = 'P0409', MESSAGE = write_index::text;
    END IF;
END
$$
"""


def upgrade() -> None:
    op.execute(UUID7)
    op.execute(EXPECT)
    op.execute(
        "REVOKE EXECUTE ON FUNCTION platform.uuid7(), platform.expect(integer, bigint, integer) FROM PUBLIC"
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("handler", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("aggregate_id", sa.Uuid(), nullable=True),
        sa.Column("command", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("context", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("job_key", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "available_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("lease_token IS NULL OR status = 'pending'", name=op.f("ck_deliveries_lease")),
        sa.CheckConstraint(
            "status IN ('pending', 'done', 'dead', 'parked')", name=op.f("ck_deliveries_status")
        ),
        sa.CheckConstraint(
            "(event_id IS NULL) <> (command IS NULL)", name=op.f("ck_deliveries_event_or_job")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        schema="platform",
        comment="One row per (event, handler), and one per job: what still has to happen.",
        postgresql_with={"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.02"},
    )
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["available_at"],
        unique=False,
        schema="platform",
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index("ix_deliveries_event_id", "deliveries", ["event_id"], unique=False, schema="platform")
    op.create_index(
        "ix_deliveries_order",
        "deliveries",
        ["handler", "aggregate_id", "position"],
        unique=False,
        schema="platform",
        postgresql_where=sa.text("status = 'pending' AND aggregate_id IS NOT NULL"),
    )
    op.create_index(
        "ix_deliveries_status",
        "deliveries",
        ["status", "finished_at"],
        unique=False,
        schema="platform",
        postgresql_where=sa.text("status <> 'pending'"),
    )
    op.create_index(
        "uq_deliveries_job_key",
        "deliveries",
        ["job_key"],
        unique=True,
        schema="platform",
        postgresql_where=sa.text("job_key IS NOT NULL"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency_keys")),
        schema="platform",
        comment="First answers of POST requests that carried an Idempotency-Key.",
    )
    op.create_index(
        "ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"], unique=False, schema="platform"
    )
    op.create_table(
        "migrations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_migrations")),
        schema="platform",
        comment="The order in which revisions were applied over all modules; `downgrade -1` takes back the last.",
    )
    op.create_table(
        "modules",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column(
            "links",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_modules")),
        schema="platform",
        comment="Every module that was ever migrated here, its database role, and the links put in place for it.",
    )
    op.create_table(
        "seeds",
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("runs_count", sa.Integer(), server_default="1", nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("module", "name", name=op.f("pk_seeds")),
        schema="platform",
        comment="Which seeds have been applied, and when last.",
    )
    op.create_table(
        "subscriptions",
        sa.Column("handler", sa.Text(), nullable=False),
        sa.Column("event_name", sa.Text(), nullable=True),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("handler", name=op.f("pk_subscriptions")),
        schema="platform",
        comment="Who subscribes to what (no event: a task); producers of every release write deliveries from it.",
    )
    op.create_index(
        "ix_subscriptions_event_name", "subscriptions", ["event_name"], unique=False, schema="platform"
    )


def downgrade() -> None:
    op.drop_table("subscriptions", schema="platform")
    op.drop_table("seeds", schema="platform")
    op.drop_table("modules", schema="platform")
    op.drop_table("migrations", schema="platform")
    op.drop_table("idempotency_keys", schema="platform")
    op.drop_table("deliveries", schema="platform")
    op.execute("DROP FUNCTION platform.expect(integer, bigint, integer)")
    op.execute("DROP FUNCTION platform.uuid7()")
