"""
create projections: how far the read model of each is
"""

import sqlalchemy as sa
from alembic import op

revision = "platform_0008"
down_revision = "platform_0007"
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "projections",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("target", sa.BigInteger(), nullable=True),
        sa.Column("cursor", sa.Uuid(), nullable=True),
        sa.Column("done_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("total_count", sa.Integer(), nullable=True),
        sa.Column(
            "requested_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('replaying', 'live')", name=op.f("ck_projections_status")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_projections")),
        schema="platform",
        comment="Read models; a replaying one is being made of its events, aggregate by aggregate, as far as `cursor`.",
    )


def downgrade() -> None:
    op.drop_table("projections", schema="platform")
