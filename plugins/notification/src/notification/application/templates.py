"""Administrators' own wording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any
from uuid import UUID

from annotated_types import Len

from notification.application.catalogue import Catalogue
from notification.application.ports import Renderer, TemplateRepository
from notification.contracts import PreviewView, TemplateSource, TemplateView
from notification.domain import Template
from platform_core.domain import Command, Page, PageRequest, Query, body, new_id
from platform_core.errors import InvalidInput
from platform_core.ports import Clock

KindName = Annotated[str, Len(1, 200)]
ChannelName = Annotated[str, Len(1, 50)]
Locale = Annotated[str, Len(2, 35)]
Subject = Annotated[str, Len(1, 200)]
Text = Annotated[str, Len(1, 20_000)]
Html = Annotated[str, Len(1, 100_000)]


@dataclass(frozen=True, kw_only=True)
class ListTemplates(Query[Page[TemplateView]]):
    """Own wording, newest first."""

    page: PageRequest


@dataclass(frozen=True, kw_only=True)
class GetTemplate(Query[TemplateView]):
    """One own template."""

    template_id: UUID


@dataclass(frozen=True, kw_only=True)
class CreateTemplate(Command[TemplateView]):
    """
    Say something differently from now on.

    Attributes:
        subject, text, html: what is left out is taken from the built-in template, as a beginning.
    """

    kind: KindName
    channel: ChannelName
    locale: Locale
    subject: Subject | None = None
    text: Text | None = None
    html: Html | None = None


@body
@dataclass(frozen=True)
class TemplateContent:
    """A template as a whole."""

    kind: KindName
    channel: ChannelName
    locale: Locale
    subject: Subject
    text: Text
    html: Html | None = None


@dataclass(frozen=True, kw_only=True)
class ReplaceTemplate(Command[TemplateView]):
    """Change an own template."""

    template_id: UUID
    content: TemplateContent


@dataclass(frozen=True, kw_only=True)
class DeleteTemplate(Command[None]):
    """Go back to the built-in wording."""

    template_id: UUID


@body
@dataclass(frozen=True)
class Draft:
    """
    Changes to a template that are tried before they are stored.

    Attributes:
        data: values in place of the kind's samples.
    """

    subject: Subject | None = None
    text: Text | None = None
    html: Html | None = None
    data: Annotated[dict[Annotated[str, Len(1, 50)], Annotated[str, Len(0, 2000)]], Len(0, 50)] | None = None


@dataclass(frozen=True, kw_only=True)
class PreviewTemplate(Query[PreviewView]):
    """Render a template with sample data."""

    template_id: UUID
    draft: Draft


async def create_template(
    command: CreateTemplate, templates: TemplateRepository, catalogue: Catalogue, clock: Clock
) -> TemplateView:
    """
    Store own wording.

    Raises:
        InvalidTemplate: it cannot be rendered; each problem with its line.
        InvalidInput: no such kind, channel or locale, or nothing to begin with.
        TemplateTaken: there is one already.
    """
    beginning = catalogue.templates.get((command.kind, command.channel, command.locale.lower()))
    subject = command.subject or (beginning.subject if beginning else None)
    text = command.text or (beginning.text if beginning else None)
    if subject is None or text is None:
        missing = "subject" if subject is None else "text"
        raise InvalidInput.of(missing, "is needed: there is no built-in template to take it from", "missing")
    takes_all = command.subject is None and command.text is None
    html = command.html or (beginning.html if beginning and takes_all else None)
    source = checked(catalogue, command.kind, command.channel, command.locale, subject, text, html)
    now = clock.now()
    template = Template(
        id=new_id(),
        created_at=now,
        updated_at=now,
        kind=source.kind,
        channel=source.channel,
        locale=source.locale,
        subject=source.subject,
        text=source.text,
        html=source.html,
    )
    templates.add(template)
    return template_view(template)


async def replace_template(
    command: ReplaceTemplate, templates: TemplateRepository, catalogue: Catalogue, clock: Clock
) -> TemplateView:
    """Change own wording; raises as `create_template` does, and NotFound."""
    template = await templates.get(command.template_id)
    new = command.content
    template.replace(
        checked(catalogue, new.kind, new.channel, new.locale, new.subject, new.text, new.html), clock.now()
    )
    return template_view(template)


async def delete_template(command: DeleteTemplate, templates: TemplateRepository, clock: Clock) -> None:
    """Go back to the built-in wording."""
    template = await templates.get(command.template_id)
    template.delete(clock.now())


def preview(source: TemplateSource, draft: Draft, catalogue: Catalogue, renderer: Renderer) -> PreviewView:
    """
    Render a stored template, as changed by a draft, with invented data.

    Raises:
        InvalidTemplate: each problem with its line.
    """
    changed = replace(
        source,
        subject=draft.subject or source.subject,
        text=draft.text or source.text,
        html=draft.html or source.html,
    )
    catalogue.check(changed)
    variables: Mapping[str, Any] = {**catalogue.sample(source.kind), **(draft.data or {})}
    rendered = renderer.render(changed, variables, catalogue.sample_secret(source.kind))
    return PreviewView(rendered.subject, rendered.text, rendered.html)


def checked(
    catalogue: Catalogue, kind: str, channel: str, locale: str, subject: str, text: str, html: str | None
) -> TemplateSource:
    """Return a template that can be rendered; raises as `create_template` does."""
    if channel not in catalogue.defaults:
        raise InvalidInput.of("channel", "there is no such channel", "unknown_channel")
    if kind not in catalogue.kinds:
        raise InvalidInput.of("kind", "there is no such kind", "unknown_kind")
    try:
        source = TemplateSource(
            kind=kind, channel=channel, locale=locale.lower(), subject=subject, text=text, html=html
        )
    except ValueError:
        raise InvalidInput.of("locale", "is no language tag such as de or de-at", "invalid_locale") from None
    catalogue.rehearse(source)
    return source


def template_view(template: Template) -> TemplateView:
    """Show a template as others see it."""
    return TemplateView(
        id=template.id,
        kind=template.kind,
        channel=template.channel,
        locale=template.locale,
        subject=template.subject,
        text=template.text,
        html=template.html,
        created_at=template.created_at,
        updated_at=template.updated_at,
    )
