"""
create accounts, roles, sessions, mailed links and failed logins
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "user_management_0001"
down_revision = None
phase = "expand"

SCHEMA = "user_management"


def upgrade() -> None:
    _create_users()
    _create_roles()
    _create_sessions()
    _create_mailed_links()
    op.create_table(
        "login_failures",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("moments", postgresql.ARRAY(sa.DateTime(timezone=True)), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_login_failures"),
        schema=SCHEMA,
        comment="When logins failed lately, oldest first, by account (hashed) and by address of origin.",
    )
    op.create_index("ix_login_failures_updated_at", "login_failures", ["updated_at"], schema=SCHEMA)


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=True),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("email_verified", sa.Boolean(), nullable=False),
        sa.Column("last_login_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("phone_number", sa.Text(), nullable=True),
        sa.Column("avatar_url", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        schema=SCHEMA,
        comment="Accounts; the address and the username of a deleted one are free again.",
    )
    for column in ("email", "username"):
        op.create_index(
            f"uq_users_{column}",
            "users",
            [sa.text(f"lower({column})")],
            unique=True,
            schema=SCHEMA,
            postgresql_where=sa.text("deleted_at IS NULL"),
        )


def _create_roles() -> None:
    op.create_table(
        "roles",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("permissions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_roles"),
        schema=SCHEMA,
        comment="Named sets of permissions.",
    )
    op.create_index(
        "uq_roles_name",
        "roles",
        ["name"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "user_roles",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], [f"{SCHEMA}.users.id"], name="fk_user_roles_user_id_users", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["role_id"], [f"{SCHEMA}.roles.id"], name="fk_user_roles_role_id_roles"),
        sa.PrimaryKeyConstraint("user_id", "role_id", name="pk_user_roles"),
        schema=SCHEMA,
        comment="Who holds which role.",
    )
    op.create_index("ix_user_roles_role_id", "user_roles", ["role_id"], schema=SCHEMA)


def _create_sessions() -> None:
    op.create_table(
        "user_sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ip", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], [f"{SCHEMA}.users.id"], name="fk_user_sessions_user_id_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_user_sessions"),
        schema=SCHEMA,
        comment="Logins: the truth about who may act as whom; what Redis keeps of it is a copy.",
    )
    op.create_index(
        "ix_user_sessions_user_id",
        "user_sessions",
        ["user_id"],
        schema=SCHEMA,
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_index("ix_user_sessions_expires_at", "user_sessions", ["expires_at"], schema=SCHEMA)
    op.create_table(
        "refresh_tokens",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("spent_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_id"],
            [f"{SCHEMA}.user_sessions.id"],
            name="fk_refresh_tokens_session_id_user_sessions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("hash", name="pk_refresh_tokens"),
        schema=SCHEMA,
        comment="SHA-256 of every refresh token of a session, the spent ones too, so that a stolen one is noticed.",
    )
    op.create_index("ix_refresh_tokens_session_id", "refresh_tokens", ["session_id"], schema=SCHEMA)


def _create_mailed_links() -> None:
    op.create_table(
        "mailed_links",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("spent_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "purpose IN ('verification', 'password_reset', 'invitation')", name="ck_mailed_links_purpose"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], [f"{SCHEMA}.users.id"], name="fk_mailed_links_user_id_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_mailed_links"),
        schema=SCHEMA,
        comment="Requests that are answered by following a mailed link; the links' tokens are derived, never stored.",
    )
    op.create_index(
        "ix_mailed_links_user_id", "mailed_links", ["user_id", "purpose", "created_at"], schema=SCHEMA
    )
    op.create_index("ix_mailed_links_expires_at", "mailed_links", ["expires_at"], schema=SCHEMA)


def downgrade() -> None:
    for table in (
        "login_failures",
        "mailed_links",
        "refresh_tokens",
        "user_sessions",
        "user_roles",
        "roles",
        "users",
    ):
        op.drop_table(table, schema=SCHEMA)
