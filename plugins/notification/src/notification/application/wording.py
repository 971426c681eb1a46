"""Finding the best words for somebody, and rendering them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from notification.application.catalogue import Catalogue
from notification.application.ports import Rendered, Renderer, Wordings
from notification.contracts import EMAIL, FALLBACK_LOCALE, IN_APP, InvalidTemplate, TemplateSource
from notification.domain import greeting_name, locale_chain
from user_management import UserProfileView

_log = logging.getLogger(__name__)

_LENDERS: Final = (EMAIL, IN_APP)
"""Channels whose words others may borrow, when a kind has none for them."""


@dataclass(frozen=True, slots=True)
class Site:
    """What every template may say about the platform."""

    name: str
    url: str

    @property
    def variables(self) -> dict[str, str]:
        return {"site_name": self.name, "site_url": self.url}


@dataclass(frozen=True, slots=True)
class Wording:
    """
    Chooses and renders wording.

    From the user's language to wider ones and at last English; in each, an administrator's words come before the
    built-in ones, and the channel's own before those that it can borrow. What can no longer be rendered is passed
    over, because a message in other words is better than none.
    """

    catalogue: Catalogue
    renderer: Renderer
    site: Site

    def write(
        self,
        kind: str,
        channel: str,
        user: UserProfileView,
        data: Mapping[str, Any],
        own: Wordings,
        secret: Mapping[str, str] | None = None,
    ) -> tuple[Rendered, str] | None:
        """
        Return the message and the language that it is in; None where nothing can be rendered.

        Args:
            data: what templates may mention beside what every one may.
            own: the administrators' wording of this kind.
            secret: what may stand in the text, but in no subject.
        """
        variables = {
            **self.site.variables,
            "name": greeting_name(user.full_name, user.username),
            **data,
        }
        for locale in locale_chain(user.locale, FALLBACK_LOCALE):
            for source in self._sources(kind, channel, locale, own):
                try:
                    return self.renderer.render(source, variables, secret), locale
                except InvalidTemplate as error:
                    _log.warning("a template for %s cannot be rendered: %s", "/".join(source.key), error)
        return None

    def _sources(self, kind: str, channel: str, locale: str, own: Wordings) -> Iterator[TemplateSource]:
        for lender in dict.fromkeys((channel, *_LENDERS)):
            key = (kind, lender, locale)
            for source in (own.get(key), self.catalogue.templates.get(key)):
                if source is not None:
                    yield source if lender == channel else _borrowed(source, channel)


def _borrowed(source: TemplateSource, channel: str) -> TemplateSource:
    """Return another channel's words for one that has none: the subject says it, a mail's letter would be too much."""
    text = "" if source.channel == EMAIL else source.text
    return replace(source, channel=channel, text=text, html=None)
