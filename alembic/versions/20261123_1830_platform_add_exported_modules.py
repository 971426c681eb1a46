"""
add what of a module was exported when, so that a purge sees whether something has been written since
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "platform_0011"
down_revision = "platform_0010"
phase = "expand"


def upgrade() -> None:
    op.add_column("modules", sa.Column("exported", postgresql.JSONB()), schema="platform")


def downgrade() -> None:
    op.drop_column("modules", "exported", schema="platform")
