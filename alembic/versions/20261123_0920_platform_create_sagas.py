"""
create runs of sagas and the log of their steps
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "platform_0004"
down_revision = "platform_0003"
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "sagas",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("definition", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), server_default="running", nullable=False),
        sa.Column("steps", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('running', 'compensating', 'completed', 'compensated', 'needs_attention')",
            name=op.f("ck_sagas_status"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sagas")),
        schema="platform",
        comment="Runs of sagas, each pinned to a version of its definition; the delivery of the same id is its lease.",
    )
    op.create_index("ix_sagas_name", "sagas", ["name", "id"], unique=False, schema="platform")
    op.create_index(
        "ix_sagas_status",
        "sagas",
        ["status", "id"],
        unique=False,
        schema="platform",
        postgresql_where=sa.text("status NOT IN ('completed', 'compensated')"),
    )
    op.create_table(
        "saga_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("saga_id", sa.Uuid(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("step", sa.Text(), nullable=True),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["saga_id"],
            ["platform.sagas.id"],
            name=op.f("fk_saga_log_saga_id_sagas"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saga_log")),
        schema="platform",
        comment="What happened to each run, step by step; only ever added to.",
    )
    op.create_index("ix_saga_log_saga_id", "saga_log", ["saga_id", "id"], unique=False, schema="platform")


def downgrade() -> None:
    op.drop_table("saga_log", schema="platform")
    op.drop_table("sagas", schema="platform")
