"""
${message}
"""

import sqlalchemy as sa
${imports if imports else ""}
from alembic import op

revision = "${up_revision}"
down_revision = ${f'"{down_revision}"' if down_revision else None}
# expand: code before and after it works with it. contract: only code after it does; it runs when the old code is gone.
phase = "${phase}"


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
