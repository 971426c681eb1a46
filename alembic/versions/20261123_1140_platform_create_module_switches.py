"""
create switches of modules
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "platform_0005"
down_revision = "platform_0004"
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "module_switches",
        sa.Column("id", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "off",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_module_switches_only_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_module_switches")),
        schema="platform",
        comment="One row: which modules are switched off, and how often that has changed.",
    )
    op.execute("INSERT INTO platform.module_switches DEFAULT VALUES")


def downgrade() -> None:
    op.drop_table("module_switches", schema="platform")
