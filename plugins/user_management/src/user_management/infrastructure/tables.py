"""The tables of the schema `user_management`, and how aggregates are kept in them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from platform_core.db import AggregateMap, Children, aggregate_columns, module_metadata
from platform_core.errors import ConcurrentUpdate
from user_management.domain import EmailTaken, Role, RoleNameTaken, RolesMissing, User, UsernameTaken

METADATA: Final = module_metadata("user_management")

users = Table(
    "users",
    METADATA,
    *aggregate_columns(),
    Column("email", Text, nullable=False),
    Column("username", Text, nullable=False),
    Column("full_name", Text),
    Column("password_hash", Text),
    Column("is_active", Boolean, nullable=False),
    Column("email_verified", Boolean, nullable=False),
    Column("last_login_at", DateTime(timezone=True)),
    Column("locale", Text),
    Column("timezone", Text),
    Column("phone_number", Text),
    Column("avatar_url", Text),
    comment="Accounts; the address and the username of a deleted one are free again.",
)
Index("uq_users_email", func.lower(users.c.email), unique=True, postgresql_where=text("deleted_at IS NULL"))
Index(
    "uq_users_username",
    func.lower(users.c.username),
    unique=True,
    postgresql_where=text("deleted_at IS NULL"),
)

roles = Table(
    "roles",
    METADATA,
    *aggregate_columns(),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("permissions", JSONB, nullable=False),
    comment="Named sets of permissions.",
)
Index("uq_roles_name", roles.c.name, unique=True, postgresql_where=text("deleted_at IS NULL"))

user_roles = Table(
    "user_roles",
    METADATA,
    Column("user_id", Uuid, ForeignKey(users.c.id, ondelete="CASCADE"), primary_key=True),
    Column("role_id", Uuid, ForeignKey(roles.c.id), primary_key=True),
    Index("ix_user_roles_role_id", "role_id"),
    comment="Who holds which role.",
)

user_sessions = Table(
    "user_sessions",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("last_seen_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("ip", Text),
    Column("user_agent", Text),
    Column("revoked_at", DateTime(timezone=True)),
    Column("revoked_reason", Text),
    Index("ix_user_sessions_user_id", "user_id", postgresql_where=text("revoked_at IS NULL")),
    Index("ix_user_sessions_expires_at", "expires_at"),
    comment="Logins: the truth about who may act as whom; what Redis keeps of it is a copy.",
)

refresh_tokens = Table(
    "refresh_tokens",
    METADATA,
    Column("hash", LargeBinary, primary_key=True),
    Column("session_id", Uuid, ForeignKey(user_sessions.c.id, ondelete="CASCADE"), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("spent_at", DateTime(timezone=True)),
    Index("ix_refresh_tokens_session_id", "session_id"),
    comment="SHA-256 of every refresh token of a session, the spent ones too, so that a stolen one is noticed.",
)

mailed_links = Table(
    "mailed_links",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("spent_at", DateTime(timezone=True)),
    CheckConstraint("purpose IN ('verification', 'password_reset', 'invitation')", name="purpose"),
    Index("ix_mailed_links_user_id", "user_id", "purpose", "created_at"),
    Index("ix_mailed_links_expires_at", "expires_at"),
    comment="Requests that are answered by following a mailed link; the links' tokens are derived, never stored.",
)

login_failures = Table(
    "login_failures",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("moments", ARRAY(DateTime(timezone=True)), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Index("ix_login_failures_updated_at", "updated_at"),
    comment="When logins failed lately, oldest first, by account (hashed) and by address of origin.",
)

USERS: Final = AggregateMap(
    User,
    users,
    name="user_management.user",
    children=[Children("role_ids", user_roles, parent="user_id", item="role_id")],
    secret=["password_hash"],
    constraints={
        "uq_users_email": EmailTaken,
        "uq_users_username": UsernameTaken,
        "fk_user_roles_role_id_roles": RolesMissing,
    },
)

ROLES: Final = AggregateMap(
    Role,
    roles,
    name="user_management.role",
    # two processes may seed at once: the slower one looks again and finds everything done
    constraints={"uq_roles_name": RoleNameTaken, "pk_roles": ConcurrentUpdate},
)
