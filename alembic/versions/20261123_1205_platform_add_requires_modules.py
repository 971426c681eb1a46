"""
add what each module requires, so that it is known when nothing of it is installed any more
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "platform_0007"
down_revision = "platform_0006"
phase = "expand"


def upgrade() -> None:
    op.add_column(
        "modules",
        sa.Column(
            "requires", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'::text[]"), nullable=False
        ),
        schema="platform",
    )


def downgrade() -> None:
    op.drop_column("modules", "requires", schema="platform")
