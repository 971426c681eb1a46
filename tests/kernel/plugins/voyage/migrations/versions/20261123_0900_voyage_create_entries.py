"""
create the diary's entries
"""

import sqlalchemy as sa
from alembic import op

revision = "voyage_0001"
down_revision = None
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "entries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("trip_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column(
            "written_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entries")),
        schema="voyage",
    )


def downgrade() -> None:
    op.drop_table("entries", schema="voyage")
