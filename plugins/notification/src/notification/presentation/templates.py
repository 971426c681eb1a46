"""Administrators word notifications differently."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Body

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
from notification.contracts import InvalidTemplate, PreviewView, TemplateTaken, TemplateView
from platform_core.domain import Page
from platform_core.errors import InvalidInput, NotFound
from platform_core.http import Ask, Execute, PageParams, Router

router = Router()


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
