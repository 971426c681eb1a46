"""What the use cases of `notification` need from the outside."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from notification.contracts import Channel, TemplateSource
from notification.domain import Email, Preferences, Template


class EmailRepository(Protocol):
    """Mails and what became of them."""

    def add(self, aggregate: Email) -> None: ...
    async def get(self, identity: UUID) -> Email: ...

    async def of_event(self, event_id: UUID, kind: str) -> Sequence[Email]:
        """Return what this event brought about already."""
        ...

    async def held(self, limit_per_channel: int) -> Sequence[Email]:
        """Return mails that wait for a mail server, the oldest of each channel, so that none is in another's way."""
        ...


class PreferencesRepository(Protocol):
    """What users want to hear of."""

    def add(self, aggregate: Preferences) -> None: ...

    async def of_users(self, user_ids: Iterable[UUID]) -> Mapping[UUID, Preferences]:
        """Return those of the users who said something."""
        ...


class TemplateRepository(Protocol):
    """The administrators' own wording."""

    def add(self, aggregate: Template) -> None: ...
    async def get(self, identity: UUID) -> Template: ...

    async def wording(self, kind: str, channel: str, locales: Iterable[str]) -> Mapping[str, TemplateSource]:
        """Return own wording by locale."""
        ...


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a template made of its variables."""

    subject: str
    text: str
    html: str | None


class Renderer(Protocol):
    """Turns wording into text; templates come from people and are not trusted."""

    def check(self, source: TemplateSource, known: Collection[str], secret: Collection[str] = ()) -> None:
        """
        Insist that a template can be rendered with the named variables.

        Args:
            known: names that may be mentioned everywhere.
            secret: names that may be mentioned in the body only, because subjects are stored.

        Raises:
            InvalidTemplate: each problem with its line.
        """
        ...

    def render(
        self, source: TemplateSource, variables: Mapping[str, Any], secret: Mapping[str, str] | None = None
    ) -> Rendered:
        """
        Render a template.

        Raises:
            InvalidTemplate: it cannot be rendered with these variables.
        """
        ...


class Channels(Protocol):
    """The adapters of the contributed channels."""

    def adapter(self, name: str) -> Channel:
        """
        Return the adapter of a channel.

        Raises:
            ChannelNotConfigured: no installed module contributes the channel.
        """
        ...
