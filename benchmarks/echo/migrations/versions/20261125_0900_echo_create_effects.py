"""
create effects
"""

import sqlalchemy as sa
from alembic import op

revision = "echo_0001"
down_revision = None
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "effects",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column(
            "written_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_effects")),
        schema="echo",
    )


def downgrade() -> None:
    op.drop_table("effects", schema="echo")
