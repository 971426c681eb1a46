"""
create trips
"""

import sqlalchemy as sa
from alembic import op

revision = "trips_0001"
down_revision = None
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "trips",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("traveller_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("flight", sa.Text(), nullable=True),
        sa.Column("has_postcard", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_trips"),
        schema="trips",
    )
    op.create_index("ix_trips_traveller_id", "trips", ["traveller_id", "id"], schema="trips")


def downgrade() -> None:
    op.drop_table("trips", schema="trips")
