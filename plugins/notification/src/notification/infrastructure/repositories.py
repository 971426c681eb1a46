"""Repositories over PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy import func, select

from notification.contracts import TemplateSource
from notification.domain import Email, Preferences, Template
from notification.infrastructure.tables import EMAILS, PREFERENCES, TEMPLATES, email_logs, templates
from platform_core.db import Repository

__all__ = ["SqlEmailRepository", "SqlPreferencesRepository", "SqlTemplateRepository"]


class SqlEmailRepository(Repository[Email]):
    """Mails and what became of them."""

    mapping = EMAILS

    async def of_event(self, event_id: UUID, kind: str) -> Sequence[Email]:
        return await self.find_all(email_logs.c.event_id == event_id, email_logs.c.kind == kind)

    async def held(self, limit_per_channel: int) -> Sequence[Email]:
        place = func.row_number().over(partition_by=email_logs.c.channel, order_by=email_logs.c.held_at)
        waiting = select(email_logs.c.id, place.label("place")).where(email_logs.c.held_at.is_not(None))
        first = waiting.subquery()
        ids = select(first.c.id).where(first.c.place <= limit_per_channel)
        return await self.find_all(email_logs.c.id.in_(ids.scalar_subquery()))


class SqlPreferencesRepository(Repository[Preferences]):
    """What users want to hear of."""

    mapping = PREFERENCES

    async def of_users(self, user_ids: Iterable[UUID]) -> Mapping[UUID, Preferences]:
        found = await self.find_all(self.mapping.table.c.user_id.in_(list(user_ids)))
        return {preferences.user_id: preferences for preferences in found}


class SqlTemplateRepository(Repository[Template]):
    """The administrators' own wording."""

    mapping = TEMPLATES

    async def wording(self, kind: str, channel: str, locales: Iterable[str]) -> Mapping[str, TemplateSource]:
        found = await self.find_all(
            templates.c.kind == kind, templates.c.channel == channel, templates.c.locale.in_(list(locales))
        )
        return {template.locale: template.source for template in found}
