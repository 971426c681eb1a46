"""What there is: the channels, kinds and wording that the installed modules contribute."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from notification.application.account_kinds import LINKED_KINDS
from notification.application.ports import Renderer
from notification.contracts import InvalidTemplate, NotificationChannel, NotificationKind, TemplateSource
from notification.domain import DEFAULT_CHANNELS
from platform_core.errors import OperationError
from platform_core.ports import Extensions

T = TypeVar("T")

COMMON_SAMPLE: Mapping[str, str] = {
    "name": "Maria Musterfrau",
    "site_name": "Platform Core",
    "site_url": "https://platform.example",
}
"""What every template may mention, with values for previews."""

SAMPLE_LINK = "https://platform.example/example?token=preview"
"""Stands for the link of kinds that have one."""

_log = logging.getLogger(__name__)


class UnknownKind(OperationError):
    """No installed module contributes this kind of notification."""


class Catalogue:
    """
    Contributions, read once per process; a broken one is left out and logged, because the others' mails must go out.

    Args:
        extensions: what the modules contributed.
        renderer: tells which templates can be rendered.

    Attributes:
        channels: contributed ones by name, each with the plugin that contributes it.
        defaults: every channel that preferences may name → whether it is on by default.
        kinds: by name.
        templates: built-in wording by kind, channel and locale; a later plugin's counts more.
    """

    def __init__(self, extensions: Extensions, renderer: Renderer) -> None:
        self._extensions, self._renderer = extensions, renderer
        self.channels = self._read_channels()
        self.defaults = _defaults(channel for _, channel in self.channels.values())
        self.kinds = self._read_kinds()
        self.templates = self._read_templates()

    def kind(self, name: str) -> NotificationKind:
        """
        Return a kind.

        Raises:
            UnknownKind: nobody contributes it, or no longer.
        """
        if name not in self.kinds:
            raise UnknownKind(f"no installed module contributes the kind {name}")
        return self.kinds[name]

    def sample(self, kind: str) -> Mapping[str, Any]:
        """Return values for the variables of a kind, for previews; raises as `kind` does."""
        return {**COMMON_SAMPLE, **self.kind(kind).sample}

    def sample_secret(self, kind: str) -> Mapping[str, str]:
        """Return values for those variables of a kind that only the body of a message may hold."""
        return {"link": SAMPLE_LINK} if kind in LINKED_KINDS else {}

    def check(self, source: TemplateSource) -> None:
        """Insist that a template suits its kind; raises as `Renderer.check` and `kind` do."""
        self._renderer.check(source, self.sample(source.kind).keys(), self.sample_secret(source.kind).keys())

    def rehearse(self, source: TemplateSource) -> None:
        """Insist that a template can be rendered with the sample of its kind; raises as `check` does."""
        self.check(source)
        self._renderer.render(source, self.sample(source.kind), self.sample_secret(source.kind))

    def _read_channels(self) -> Mapping[str, tuple[str, NotificationChannel]]:
        found: dict[str, tuple[str, NotificationChannel]] = {}
        for plugin, channel in self._contributed("notification_channels", NotificationChannel):
            if channel.name in found:
                _log.error("%s contributes the channel %s, which there is already", plugin, channel.name)
            else:
                found[channel.name] = (plugin, channel)
        return found

    def _read_kinds(self) -> Mapping[str, NotificationKind]:
        found: dict[str, NotificationKind] = {}
        for plugin, kind in self._contributed("notification_kinds", NotificationKind):
            if kind.name in found:
                _log.error("%s contributes the kind %s, which there is already", plugin, kind.name)
            else:
                found[kind.name] = kind
        return found

    def _read_templates(self) -> Mapping[tuple[str, str, str], TemplateSource]:
        found: dict[tuple[str, str, str], TemplateSource] = {}
        for plugin, source in self._contributed("notification_templates", TemplateSource):
            try:
                self.check(source)
            except (InvalidTemplate, UnknownKind) as error:
                key = "/".join(source.key)
                _log.error("%s contributes an unusable template for %s: %s", plugin, key, error)
            else:
                found[source.key] = source
        return found

    def _contributed(self, hook: str, wanted: type[T]) -> Iterator[tuple[str, T]]:
        for plugin, contributions in self._extensions.collect(hook).items():
            for item in contributions:
                if isinstance(item, wanted):
                    yield plugin, item
                else:
                    _log.error(
                        "%s: %s returned a %s, not a %s", plugin, hook, type(item).__name__, wanted.__name__
                    )


def _defaults(channels: Iterable[NotificationChannel]) -> Mapping[str, bool]:
    return {channel.name: channel.on_by_default for channel in channels} | DEFAULT_CHANNELS
