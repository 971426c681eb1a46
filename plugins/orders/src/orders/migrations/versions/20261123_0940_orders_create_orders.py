"""
create orders
"""

import sqlalchemy as sa
from alembic import op

revision = "orders_0001"
down_revision = None
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("buyer_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("course_title", sa.Text(), nullable=False),
        sa.Column("price_amount", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("price_currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("payment_token", sa.Text(), nullable=True),
        sa.Column("payment_reference", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "status IN ('processing', 'completed', 'failed', 'refunded')", name=op.f("ck_orders_status")
        ),
        sa.CheckConstraint(
            "payment_token IS NULL OR status = 'processing'", name=op.f("ck_orders_payment_token")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        schema="orders",
        comment="Purchases; each has the id of its saga. A payment token is forgotten once the gateway has answered.",
    )
    op.create_index("ix_orders_buyer_id", "orders", ["buyer_id", "id"], unique=False, schema="orders")


def downgrade() -> None:
    op.drop_table("orders", schema="orders")
