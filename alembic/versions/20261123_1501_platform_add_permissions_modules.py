"""
add what each module lets people do, so that others forget it when the module is gone for good
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "platform_0010"
down_revision = "platform_0009"
phase = "expand"


def upgrade() -> None:
    op.add_column(
        "modules",
        sa.Column(
            "permissions", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'::text[]"), nullable=False
        ),
        schema="platform",
    )


def downgrade() -> None:
    op.drop_column("modules", "permissions", schema="platform")
