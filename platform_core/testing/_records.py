"""What the platform stored, as tests look at it; private to the test kit, published by `platform_core.testing`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """One row of the event store."""

    id: UUID
    position: int
    name: str
    version: int
    aggregate_type: str
    aggregate_id: UUID
    payload: Mapping[str, Any]
    actor_id: UUID | None
    correlation_id: str
    causation_id: UUID | None
    occurred_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDelivery:
    """
    One delivery of an event to a handler, or one job.

    Attributes:
        event_id: None for a job; then `command` holds it.
        status: `pending`, `done`, `dead` or `parked`.
        available_at: earliest next attempt, or the end of the lease while `lease_token` is set.
    """

    id: UUID
    handler: str
    event_id: UUID | None
    aggregate_id: UUID | None
    command: Mapping[str, Any] | None
    status: str
    attempts_count: int
    available_at: datetime
    lease_token: UUID | None
    last_error: str | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """One line of the audit trail; `changes` is table → column → [before, after]."""

    id: UUID
    actor_id: UUID | None
    actor_label: str
    action: str
    resource_type: str | None
    resource_id: UUID | None
    changes: Mapping[str, Any]
    outcome: str
    detail: str | None
    request_id: str
    occurred_at: datetime
