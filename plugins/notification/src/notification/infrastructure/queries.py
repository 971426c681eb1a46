"""The read side: one statement each, rows straight to views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Uuid, bindparam, select

from notification.application.catalogue import Catalogue
from notification.application.devices import GetPushKey, ListDevices
from notification.application.email_logs import ListEmailLogs
from notification.application.ports import Renderer
from notification.application.preferences import GetPreferences, preferences_view
from notification.application.templates import GetTemplate, ListTemplates, PreviewTemplate, preview
from notification.contracts import (
    EMAIL,
    ChannelNotConfigured,
    DeviceView,
    EmailLogView,
    PreferencesView,
    PreviewView,
    PushKeyView,
    QuietHours,
    TemplateSource,
    TemplateView,
)
from notification.infrastructure.push import PushChannel
from notification.infrastructure.tables import devices, email_logs, notification_preferences, templates
from platform_core.db import Reads
from platform_core.domain import Page
from platform_core.errors import NotFound
from platform_core.security import Principal

_LOG_COLUMNS = (
    email_logs.c.id,
    email_logs.c.recipient,
    email_logs.c.subject,
    email_logs.c.status,
    email_logs.c.attempts,
    email_logs.c.error,
    email_logs.c.message_id,
    email_logs.c.sent_at,
)
_TEMPLATE_COLUMNS = (
    templates.c.id,
    templates.c.kind,
    templates.c.channel,
    templates.c.locale,
    templates.c.subject,
    templates.c.text,
    templates.c.html,
    templates.c.created_at,
    templates.c.updated_at,
)


# made once: putting a statement together takes longer than PostgreSQL needs for the answer
_EMAIL_LOGS: Final = select(*_LOG_COLUMNS).where(
    email_logs.c.channel == EMAIL, email_logs.c.deleted_at.is_(None)
)
_PREFERENCES: Final = select(
    notification_preferences.c.channels,
    notification_preferences.c.kinds,
    notification_preferences.c.quiet_hours,
).where(notification_preferences.c.user_id == bindparam("owner", type_=Uuid))
_DEVICES: Final = select(
    devices.c.id, devices.c.name, devices.c.endpoint, devices.c.created_at, devices.c.updated_at
).where(devices.c.user_id == bindparam("owner", type_=Uuid), devices.c.deleted_at.is_(None))
_TEMPLATES: Final = select(*_TEMPLATE_COLUMNS).where(templates.c.deleted_at.is_(None))
_TEMPLATE: Final = _TEMPLATES.where(templates.c.id == bindparam("identity", type_=Uuid))


async def list_email_logs(query: ListEmailLogs, reads: Reads) -> Page[EmailLogView]:
    """Return mails, newest first."""
    return await reads.page(
        _EMAIL_LOGS, query.page, lambda row: EmailLogView(**row), order=(email_logs.c.id,)
    )


async def get_preferences(
    query: GetPreferences, principal: Principal, reads: Reads, catalogue: Catalogue
) -> PreferencesView:
    """Return the caller's preferences, or the defaults."""
    row = await reads.one(_PREFERENCES, {"owner": principal.require_user()})
    if row is None:
        return preferences_view(catalogue, {}, {}, None)
    quiet_hours = QuietHours(**row["quiet_hours"]) if row["quiet_hours"] else None
    return preferences_view(catalogue, row["channels"], row["kinds"], quiet_hours)


async def list_devices(query: ListDevices, principal: Principal, reads: Reads) -> Page[DeviceView]:
    """Return the caller's devices, newest first."""
    owner = {"owner": principal.require_user()}
    return await reads.page(
        _DEVICES, query.page, lambda row: DeviceView(**row), order=(devices.c.id,), values=owner
    )


async def get_push_key(query: GetPushKey, channel: PushChannel) -> PushKeyView:
    """
    Return the key that browsers subscribe with.

    Raises:
        NotFound: nothing is pushed here.
    """
    try:
        return PushKeyView(channel.public_key)
    except ChannelNotConfigured:
        raise NotFound("Nothing is pushed here: the platform has no key for it.") from None


async def list_templates(query: ListTemplates, reads: Reads) -> Page[TemplateView]:
    """Return own wording, newest first."""
    return await reads.page(_TEMPLATES, query.page, _template_view, order=(templates.c.id,))


async def get_template(query: GetTemplate, reads: Reads) -> TemplateView:
    """Return one own template."""
    row = await reads.one(_TEMPLATE, {"identity": query.template_id})
    if row is None:
        raise NotFound
    return _template_view(row)


async def preview_template(
    query: PreviewTemplate, reads: Reads, catalogue: Catalogue, renderer: Renderer
) -> PreviewView:
    """Render one own template with invented data."""
    template = await get_template(GetTemplate(template_id=query.template_id), reads)
    source = TemplateSource(
        kind=template.kind,
        channel=template.channel,
        locale=template.locale,
        subject=template.subject,
        text=template.text,
        html=template.html,
    )
    return preview(source, query.draft, catalogue, renderer)


def _template_view(row: Mapping[str, Any]) -> TemplateView:
    return TemplateView(**row)
