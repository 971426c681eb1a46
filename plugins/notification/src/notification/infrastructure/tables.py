"""The tables of `notification`, and how its aggregates lie in them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from notification.contracts import TemplateTaken
from notification.domain import DEVICES_COUNT, Device, Email, Preferences, Template
from platform_core.db import AggregateMap, aggregate_columns, module_metadata
from platform_core.errors import ConcurrentUpdate

metadata = module_metadata("notification")

notifications = Table(
    "notifications",
    metadata,
    *aggregate_columns(),
    # in the order in which they were stored, which identifiers made by several machines do not tell
    Column("position", BigInteger, Identity(always=True), nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("user_id", Uuid, nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("is_read", Boolean, nullable=False),
    Column("read_at", DateTime(timezone=True)),
    CheckConstraint("is_read = (read_at IS NOT NULL)", name="read_at"),
    Index("uq_notifications_event_id", "event_id", "kind", "user_id", unique=True),
    Index("ix_notifications_user_id_position", "user_id", "position"),
    Index("ix_notifications_user_id_is_read", "user_id", "is_read", "position"),
    comment="Inboxes: one row per event, kind and user, in the words of that moment.",
)

devices = Table(
    "devices",
    metadata,
    *aggregate_columns(),
    Column("user_id", Uuid, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("p256dh", Text, nullable=False),
    Column("auth", Text, nullable=False),
    Column("name", Text),
    Column("place", Integer, nullable=False),
    CheckConstraint(f"place >= 0 AND place < {DEVICES_COUNT}", name="place"),
    Index("uq_devices_endpoint", "endpoint", unique=True, postgresql_where=text("deleted_at IS NULL")),
    Index("uq_devices_user_id", "user_id", "place", unique=True, postgresql_where=text("deleted_at IS NULL")),
    Index("ix_devices_user_id", "user_id"),
    Index("ix_devices_deleted_at", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    comment="Push subscriptions; what is sent to one only the device itself can read.",
)

email_logs = Table(
    "email_logs",
    metadata,
    *aggregate_columns(),
    Column("event_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("user_id", Uuid, nullable=False),
    Column("channel", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("subject", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text),
    Column("message_id", Text),
    Column("sent_at", DateTime(timezone=True)),
    Column("held_at", DateTime(timezone=True)),
    Column("device_id", Uuid),
    Column("quiet_until", DateTime(timezone=True)),
    Column("digest_id", Uuid),
    CheckConstraint("status IN ('queued', 'sent', 'failed', 'bounced')", name="status"),
    CheckConstraint("status <> 'sent' OR sent_at IS NOT NULL", name="sent_at"),
    Index(
        "uq_email_logs_event_id_device_id",
        "event_id",
        "kind",
        "user_id",
        "channel",
        text("(COALESCE(device_id, '00000000-0000-0000-0000-000000000000'::uuid))"),
        unique=True,
    ),
    # what administrators look through: one channel's, newest first
    Index("ix_email_logs_channel", "channel", "id", postgresql_where=text("deleted_at IS NULL")),
    Index("ix_email_logs_held_at", "held_at", postgresql_where=text("held_at IS NOT NULL")),
    Index("ix_email_logs_quiet_until", "quiet_until", postgresql_where=text("quiet_until IS NOT NULL")),
    comment="One row per mail, from the decision to send it; neither its text nor any secret.",
)

notification_preferences = Table(
    "notification_preferences",
    metadata,
    *aggregate_columns(),
    Column("user_id", Uuid, nullable=False),
    Column("channels", JSONB, nullable=False),
    Column("kinds", JSONB, nullable=False),
    Column("quiet_hours", JSONB(none_as_null=True)),
    Index("uq_notification_preferences_user_id", "user_id", unique=True),
    comment="What users want to hear of; the defaults hold for those without a row.",
)

templates = Table(
    "templates",
    metadata,
    *aggregate_columns(),
    Column("kind", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("locale", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("html", Text),
    Index(
        "uq_templates_kind",
        "kind",
        "channel",
        "locale",
        unique=True,
        postgresql_where=text("deleted_at IS NULL"),
    ),
    comment="Administrators' own wording; the built-in one is code.",
)

EMAILS = AggregateMap(Email, email_logs, name="notification.email")
PREFERENCES = AggregateMap(
    Preferences,
    notification_preferences,
    name="notification.preferences",
    # two first answers of one user at once: the bus looks again and finds the other one
    constraints={"uq_notification_preferences_user_id": ConcurrentUpdate},
)
TEMPLATES = AggregateMap(
    Template, templates, name="notification.template", constraints={"uq_templates_kind": TemplateTaken}
)
DEVICES = AggregateMap(
    Device,
    devices,
    name="notification.device",
    secret=("endpoint", "p256dh", "auth"),
    # two at once for the same device, or the same place: the bus looks again and finds the other one
    constraints={"uq_devices_endpoint": ConcurrentUpdate, "uq_devices_user_id": ConcurrentUpdate},
)
