"""
add whose route each stored answer came from, so that the answers of a module go when it does
"""

import sqlalchemy as sa
from alembic import op

revision = "platform_0009"
down_revision = "platform_0008"
phase = "expand"


def upgrade() -> None:
    op.add_column("idempotency_keys", sa.Column("module", sa.Text()), schema="platform")


def downgrade() -> None:
    op.drop_column("idempotency_keys", "module", schema="platform")
