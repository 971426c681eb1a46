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
    op.execute("CREATE FUNCTION public.spy_peek() RETURNS integer LANGUAGE sql AS 'SELECT 1'")


def downgrade() -> None:
    op.execute("DROP FUNCTION public.spy_peek()")
    op.drop_table("sightings", schema="spy")
