"""
create sightings
"""

import sqlalchemy as sa
from alembic import op

revision = "spy_0001"
down_revision = None
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "sightings",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("what", sa.String(100), nullable=False),
        schema="spy",
    )
    op.execute("CREATE SEQUENCE spy.left_behind")
    op.execute("DO $$ BEGIN EXECUTE format('CREATE ROLE %I', current_database() || '_peeks'); END $$")


def downgrade() -> None:
    op.execute("DO $$ BEGIN EXECUTE format('DROP ROLE %I', current_database() || '_peeks'); END $$")
    op.drop_table("sightings", schema="spy")
