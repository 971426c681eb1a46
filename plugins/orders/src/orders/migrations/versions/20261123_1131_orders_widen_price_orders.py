"""
let prices have the decimals of their currency: none in JPY, three in KWD
"""

import sqlalchemy as sa
from alembic import op

revision = "orders_0002"
down_revision = "orders_0001"
phase = "expand"


def upgrade() -> None:
    # a numeric that loses its limits is the same on disk, and older code reads it as before
    op.alter_column(  # lint: type-change no rewrite, and the same for older code
        "orders", "price_amount", type_=sa.Numeric(), existing_nullable=False, schema="orders"
    )


def downgrade() -> None:
    op.alter_column("orders", "price_amount", type_=sa.Numeric(12, 2), schema="orders")
