"""Repositories over PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import DateTime, Integer, Text, Uuid, any_, bindparam, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert

from notification.application.ports import Wordings
from notification.domain import Device, Email, Preferences, Template
from notification.infrastructure.bulk import bulk_insert, first_id_at, given_rows, row_of
from notification.infrastructure.tables import (
    DEVICES,
    EMAILS,
    PREFERENCES,
    TEMPLATES,
    devices,
    email_logs,
    notification_preferences,
    templates,
)
from platform_core.db import Repository
from platform_core.errors import ConcurrentUpdate

__all__ = [
    "SqlDeviceRepository",
    "SqlEmailRepository",
    "SqlPreferencesRepository",
    "SqlTemplateRepository",
]

_INSERT_EMAILS: Final = bulk_insert(email_logs, EMAILS.fields)
_KNOWN: Final = select(email_logs.c.user_id, email_logs.c.channel, email_logs.c.device_id).where(
    email_logs.c.event_id == bindparam("event"), email_logs.c.kind == bindparam("of_kind")
)
_QUIET_OVER: Final = (
    EMAILS.select()
    .where(email_logs.c.quiet_until <= bindparam("now", type_=DateTime(timezone=True)))
    .order_by(email_logs.c.user_id, email_logs.c.channel, email_logs.c.device_id, email_logs.c.id)
    .limit(bindparam("most", type_=Integer))
)
_SETTLED: Final = ("id", "status", "error", "quiet_until", "digest_id", "deleted_at", "updated_at", "version")
_DECIDED: Final = given_rows(email_logs, (*_SETTLED, "stored_version"), stored_version=Integer)
_SETTLE: Final = (
    update(email_logs)
    .where(email_logs.c.id == _DECIDED.c.id, email_logs.c.version == _DECIDED.c.stored_version)
    .values({name: _DECIDED.c[name] for name in _SETTLED if name != "id"})
)
_END_QUIET: Final = (
    update(email_logs)
    .where(
        email_logs.c.user_id == bindparam("owner", type_=Uuid),
        email_logs.c.quiet_until > bindparam("now", type_=DateTime(timezone=True)),
    )
    .values(quiet_until=bindparam("now", type_=DateTime(timezone=True)), version=email_logs.c.version + 1)
)
_PURGED: Final = (
    select(email_logs.c.id)
    .where(
        email_logs.c.id < bindparam("before", type_=Uuid),
        email_logs.c.status != "queued",
    )
    .order_by(email_logs.c.id)
    .limit(bindparam("most", type_=Integer))
)
_PURGE: Final = delete(email_logs).where(email_logs.c.id.in_(_PURGED))
_FORGET_PREFERENCES: Final = delete(notification_preferences).where(
    notification_preferences.c.user_id == bindparam("owner", type_=Uuid)
)
_PURGE_DEVICES: Final = delete(devices).where(
    devices.c.deleted_at < bindparam("before", type_=DateTime(timezone=True))
)
_FORGET_DEVICES: Final = delete(devices).where(devices.c.user_id == bindparam("owner", type_=Uuid))
_FIRST_WORDS: Final = insert(notification_preferences).on_conflict_do_nothing(index_elements=["user_id"])
_PREFERENCES_OF_USERS: Final = PREFERENCES.select().where(
    notification_preferences.c.user_id == any_(bindparam("users", type_=ARRAY(Uuid)))
)
_TEMPLATES_OF_KINDS: Final = TEMPLATES.select().where(
    templates.c.kind == any_(bindparam("kinds", type_=ARRAY(Text))), templates.c.deleted_at.is_(None)
)


class SqlEmailRepository(Repository[Email]):
    """Mails and what became of them."""

    mapping = EMAILS

    def add_all(self, emails: Sequence[Email]) -> None:
        if emails:
            rows = [row_of(email, EMAILS.fields) for email in emails]
            self.uow.write(_INSERT_EMAILS, values={"rows": rows}, expect=len(rows))

    async def known(self, event_id: UUID, kind: str) -> Collection[tuple[UUID, str, UUID | None]]:
        rows = await self.uow.fetch_all(_KNOWN, {"event": event_id, "of_kind": kind})
        return {(row["user_id"], row["channel"], row["device_id"]) for row in rows}

    async def quiet_over(self, now: datetime, limit: int) -> Sequence[Email]:
        rows = await self.uow.fetch_all(_QUIET_OVER, {"now": now, "most": limit})
        return [self.mapping.build(row) for row in rows]

    def settle(self, emails: Sequence[Email]) -> None:
        if emails:
            rows = [{**row_of(email, _SETTLED), "stored_version": email.stored_version} for email in emails]
            self.uow.write(_SETTLE, values={"rows": rows}, expect=len(rows))

    def end_quiet(self, user_id: UUID, now: datetime) -> None:
        self.uow.write(_END_QUIET, values={"owner": user_id, "now": now})

    def purge(self, before: datetime, limit: int) -> None:
        self.uow.write(_PURGE, values={"before": first_id_at(before), "most": limit})

    async def held(self, limit_per_channel: int) -> Sequence[Email]:
        place = func.row_number().over(partition_by=email_logs.c.channel, order_by=email_logs.c.held_at)
        waiting = select(email_logs.c.id, place.label("place")).where(email_logs.c.held_at.is_not(None))
        first = waiting.subquery()
        ids = select(first.c.id).where(first.c.place <= limit_per_channel)
        return await self.find_all(email_logs.c.id.in_(ids.scalar_subquery()))


class SqlPreferencesRepository(Repository[Preferences]):
    """What users want to hear of."""

    mapping = PREFERENCES

    def forget(self, user_id: UUID) -> None:
        self.uow.write(_FORGET_PREFERENCES, values={"owner": user_id})

    async def held(self, fresh: Preferences) -> Preferences:
        theirs = notification_preferences.c.user_id == fresh.user_id
        found = await self.find(theirs, lock=True)
        if found is None:  # whoever puts in the first words at the same time is waited for
            await self.uow.execute(
                _FIRST_WORDS.values({name: getattr(fresh, name) for name in PREFERENCES.fields})
            )
            found = await self.find(theirs, lock=True)
        if found is None:
            raise ConcurrentUpdate  # forgotten in this moment; the command looks again
        return found

    async def of_users(self, user_ids: Iterable[UUID]) -> Mapping[UUID, Preferences]:
        rows = await self.uow.fetch_all(_PREFERENCES_OF_USERS, {"users": list(user_ids)})
        return {row["user_id"]: self.mapping.build(row) for row in rows}


class SqlTemplateRepository(Repository[Template]):
    """The administrators' own wording."""

    mapping = TEMPLATES

    async def of_kinds(self, kinds: Iterable[str]) -> Wordings:
        rows = await self.uow.fetch_all(_TEMPLATES_OF_KINDS, {"kinds": list(kinds)})
        sources = [self.mapping.build(row).source for row in rows]
        return {source.key: source for source in sources}


class SqlDeviceRepository(Repository[Device]):
    """Devices that messages are pushed to."""

    mapping = DEVICES

    async def around(self, user_id: UUID, endpoint: str) -> Sequence[Device]:
        return await self.find_all(or_(devices.c.user_id == user_id, devices.c.endpoint == endpoint))

    async def find_of(self, user_id: UUID, device_id: UUID) -> Device | None:
        return await self.find(devices.c.id == device_id, devices.c.user_id == user_id)

    def forget(self, user_id: UUID) -> None:
        self.uow.write(_FORGET_DEVICES, values={"owner": user_id})

    def purge(self, removed_before: datetime) -> None:
        self.uow.write(_PURGE_DEVICES, values={"before": removed_before})
