"""The routes of `notification`."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Body

from notification.application.email_logs import ListEmailLogs
from notification.application.preferences import GetPreferences, SetPreferences
from notification.application.templates import (
    CreateTemplate,
    DeleteTemplate,
    Draft,
    GetTemplate,
    ListTemplates,
    PreviewTemplate,
    ReplaceTemplate,
    TemplateContent,
)
from notification.contracts import (
    EmailLogView,
    InvalidTemplate,
    PreferencesView,
    PreviewView,
    TemplateTaken,
    TemplateView,
)
from platform_core.domain import Page
from platform_core.errors import InvalidInput, NotFound
from platform_core.http import Ask, Execute, PageParams, Router

router = Router()


@router.get("/notifications/preferences", summary="What you want to hear of")
async def get_preferences(ask: Ask) -> PreferencesView:
    return await ask(GetPreferences())


@router.put("/notifications/preferences", raises=(InvalidInput,), summary="Say what you want to hear of")
async def set_preferences(command: SetPreferences, execute: Execute) -> PreferencesView:
    return await execute(command)


@router.get("/notifications/templates", permission="notifications:write", summary="List own templates")
async def list_templates(page: PageParams, ask: Ask) -> Page[TemplateView]:
    return await ask(ListTemplates(page=page))


@router.post(
    "/notifications/templates",
    status_code=201,
    permission="notifications:write",
    raises=(InvalidTemplate, InvalidInput, TemplateTaken),
    summary="Word a notification differently",
)
async def create_template(command: CreateTemplate, execute: Execute) -> TemplateView:
    return await execute(command)


@router.get(
    "/notifications/templates/{template_id}",
    permission="notifications:write",
    raises=(NotFound,),
    summary="Read an own template",
)
async def get_template(template_id: UUID, ask: Ask) -> TemplateView:
    return await ask(GetTemplate(template_id=template_id))


@router.put(
    "/notifications/templates/{template_id}",
    permission="notifications:write",
    visible=lambda path: GetTemplate(template_id=path["template_id"]),
    raises=(NotFound, InvalidTemplate, InvalidInput, TemplateTaken),
    summary="Replace an own template",
)
async def replace_template(template_id: UUID, content: TemplateContent, execute: Execute) -> TemplateView:
    return await execute(ReplaceTemplate(template_id=template_id, content=content))


@router.delete(
    "/notifications/templates/{template_id}",
    status_code=204,
    permission="notifications:write",
    raises=(NotFound,),
    summary="Go back to the built-in wording",
)
async def delete_template(template_id: UUID, execute: Execute) -> None:
    await execute(DeleteTemplate(template_id=template_id))


@router.post(
    "/notifications/templates/{template_id}/preview",
    permission="notifications:write",
    visible=lambda path: GetTemplate(template_id=path["template_id"]),
    raises=(NotFound, InvalidTemplate),
    summary="Render a template with sample data",
)
async def preview_template(
    template_id: UUID, ask: Ask, draft: Annotated[Draft | None, Body()] = None
) -> PreviewView:
    return await ask(PreviewTemplate(template_id=template_id, draft=draft or Draft()))


@router.get("/notifications/email-logs", permission="notifications:read", summary="See which mails went out")
async def list_email_logs(page: PageParams, ask: Ask) -> Page[EmailLogView]:
    return await ask(ListEmailLogs(page=page))
