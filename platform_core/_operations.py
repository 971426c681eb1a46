"""
The kernel's own plugin, `platform`: it contributes through the same hooks as anybody else.

Routes below `/api/v1/platform` for operators: modules, events, deliveries and the audit trail; `_saga_operations` has
those about sagas, `_module_operations` what switches modules off and on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from fastapi import APIRouter
from fastapi import Query as QueryParameter
from sqlalchemy import ColumnElement, Select, func, select, update

import platform_core
from platform_core import _module_operations, _projection_operations, _saga_operations, hookimpl
from platform_core._module_operations import ModuleView, Registry
from platform_core._tables import AUDIT, PLATFORM, audit_logs, deliveries, domain_events
from platform_core.db import Cursors, Reads, UnitOfWork
from platform_core.declarations import Migrations, Permission, Services
from platform_core.domain import Command, Page, PageRequest, Query
from platform_core.errors import DomainError, Kind, NotFound
from platform_core.http import Ask, Execute, PageParams, Router


class DeliveryNotRetriable(DomainError, kind=Kind.CONFLICT):
    """Only dead and parked deliveries can be retried; this one is done or still pending."""


@dataclass(frozen=True, kw_only=True)
class EventView:
    """One stored domain event."""

    id: UUID
    name: str
    version: int
    aggregate_type: str
    aggregate_id: UUID
    payload: dict[str, Any]
    actor_id: UUID | None
    correlation_id: str
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True)
class DeliveryView:
    """One delivery of an event to a handler, or one job."""

    id: UUID
    handler: str
    event_id: UUID | None
    status: str
    attempts: int
    available_at: datetime
    last_error: str | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class AuditLogView:
    """One line of the audit trail."""

    id: UUID
    actor_id: UUID | None
    action: str
    resource_type: str | None
    resource_id: UUID | None
    changes: dict[str, Any]
    outcome: str
    ip: str | None
    request_id: str
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True)
class ListModules(Query[Page[ModuleView]]):
    """Every installed module by name, failed ones included."""

    page: PageRequest


@dataclass(frozen=True, kw_only=True)
class ListEvents(Query[Page[EventView]]):
    """Stored events, newest first."""

    page: PageRequest
    name: str | None = None
    aggregate_id: UUID | None = None
    correlation_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ListDeliveries(Query[Page[DeliveryView]]):
    """Deliveries and jobs, newest first."""

    page: PageRequest
    status: str | None = None
    handler: str | None = None
    event_id: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class ListAuditLogs(Query[Page[AuditLogView]]):
    """The audit trail, newest first."""

    page: PageRequest
    actor_id: UUID | None = None
    action: str | None = None
    resource_id: UUID | None = None
    outcome: str | None = None


@dataclass(frozen=True, kw_only=True)
class RetryDelivery(Command[None]):
    """Make a dead or parked delivery due again, with all its attempts."""

    wire_name: ClassVar[str] = "platform.retry_delivery"

    delivery_id: UUID


async def retry_delivery(command: RetryDelivery, uow: UnitOfWork) -> None:
    """Handle `RetryDelivery`; raises `NotFound` or `DeliveryNotRetriable`."""
    table = deliveries
    row = await uow.fetch_one(select(table.c.status).where(table.c.id == command.delivery_id))
    if row is None:
        raise NotFound("There is no such delivery.")
    uow.write(
        update(table)
        .where(table.c.id == command.delivery_id, table.c.status.in_(("dead", "parked")))
        .values(
            status="pending", attempts_count=0, available_at=func.now(), finished_at=None, lease_token=None
        ),
        expect=1,
        otherwise=DeliveryNotRetriable,
        resource=("platform.delivery", command.delivery_id),
    )


async def list_modules(query: ListModules, registry: Registry, cursors: Cursors) -> Page[ModuleView]:
    """Answer `ListModules`."""
    return cursors.page_of("platform.modules", registry.modules(), query.page, lambda module: module.name)


async def list_events(query: ListEvents, reads: Reads) -> Page[EventView]:
    """Answer `ListEvents`."""
    table = domain_events
    statement = _filtered(
        select(*(table.c[name] for name in EventView.__dataclass_fields__), table.c.position),
        (table.c.name, query.name),
        (table.c.aggregate_id, query.aggregate_id),
        (table.c.correlation_id, query.correlation_id),
    )
    return await reads.page(
        statement, query.page, lambda row: _view(EventView, row), order=(table.c.position,)
    )


async def list_deliveries(query: ListDeliveries, reads: Reads) -> Page[DeliveryView]:
    """Answer `ListDeliveries`."""
    table = deliveries
    columns = [
        table.c.attempts_count.label("attempts") if n == "attempts" else table.c[n]
        for n in DeliveryView.__dataclass_fields__
    ]
    statement = _filtered(
        select(*columns),
        (table.c.status, query.status),
        (table.c.handler, query.handler),
        (table.c.event_id, query.event_id),
    )
    return await reads.page(statement, query.page, lambda row: _view(DeliveryView, row), order=(table.c.id,))


async def list_audit_logs(query: ListAuditLogs, reads: Reads) -> Page[AuditLogView]:
    """Answer `ListAuditLogs`."""
    table = audit_logs
    statement = _filtered(
        select(*(table.c[name] for name in AuditLogView.__dataclass_fields__)),
        (table.c.actor_id, query.actor_id),
        (table.c.action, query.action),
        (table.c.resource_id, query.resource_id),
        (table.c.outcome, query.outcome),
    )
    return await reads.page(
        statement, query.page, lambda row: _view(AuditLogView, row, ip=_text(row["ip"])), order=(table.c.id,)
    )


def _filtered(statement: Select[Any], *filters: tuple[ColumnElement[Any], Any]) -> Select[Any]:
    return statement.where(*(column == value for column, value in filters if value is not None))


def _view(view: type[Any], row: Mapping[str, Any], **changed: Any) -> Any:
    return view(**({name: row[name] for name in view.__dataclass_fields__} | changed))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


router = Router()
Name = Annotated[str | None, QueryParameter(max_length=200)]


@router.get("/platform/modules", permission="platform:read", summary="List installed modules")
async def modules(ask: Ask, page: PageParams) -> Page[ModuleView]:
    return await ask(ListModules(page=page))


@router.get("/platform/events", permission="platform:read", summary="List domain events")
async def events(
    ask: Ask,
    page: PageParams,
    name: Name = None,
    aggregate_id: UUID | None = None,
    correlation_id: Name = None,
) -> Page[EventView]:
    return await ask(
        ListEvents(page=page, name=name, aggregate_id=aggregate_id, correlation_id=correlation_id)
    )


@router.get(
    "/platform/deliveries", permission="platform:read", summary="List deliveries, jobs and dead letters"
)
async def delivery_list(
    ask: Ask,
    page: PageParams,
    status: Literal["pending", "done", "dead", "parked"] | None = None,
    handler: Name = None,
    event_id: UUID | None = None,
) -> Page[DeliveryView]:
    return await ask(ListDeliveries(page=page, status=status, handler=handler, event_id=event_id))


@router.post(
    "/platform/deliveries/{delivery_id}/retry",
    status_code=204,
    permission="platform:write",
    raises=(NotFound, DeliveryNotRetriable),
    summary="Retry a dead letter",
)
async def retry(delivery_id: UUID, execute: Execute) -> None:
    await execute(RetryDelivery(delivery_id=delivery_id))


@router.get("/platform/audit-logs", permission="platform:read", summary="Read the audit trail")
async def audit_trail(
    ask: Ask,
    page: PageParams,
    actor_id: UUID | None = None,
    action: Name = None,
    resource_id: UUID | None = None,
    outcome: Literal["done", "refused", "denied"] | None = None,
) -> Page[AuditLogView]:
    query = ListAuditLogs(
        page=page, actor_id=actor_id, action=action, resource_id=resource_id, outcome=outcome
    )
    return await ask(query)


@hookimpl
def register_services() -> Services:
    return Services(
        commands={
            RetryDelivery: retry_delivery,
            **_module_operations.COMMANDS,
            **_projection_operations.COMMANDS,
            **_saga_operations.COMMANDS,
        },
        queries={
            ListModules: list_modules,
            ListEvents: list_events,
            ListDeliveries: list_deliveries,
            ListAuditLogs: list_audit_logs,
            **_saga_operations.QUERIES,
        },
    )


@hookimpl
def register_routes() -> Sequence[APIRouter]:
    return [router, _saga_operations.router]


@hookimpl
def register_permissions() -> Sequence[Permission]:
    return [
        Permission("platform:read", "See modules, events, deliveries, sagas and the audit trail"),
        Permission("platform:write", "Retry dead letters, decide about sagas"),
    ]


@hookimpl
def register_migrations() -> Migrations:
    return Migrations(revisions_directory(), (PLATFORM, AUDIT))


def revisions_directory() -> Path:
    """Return where the kernel's revisions are: inside an installed wheel, or at the root of a checkout."""
    package = Path(platform_core.__file__).parent
    inside = package / "_alembic" / "versions"
    return inside if inside.is_dir() else package.parent / "alembic" / "versions"
