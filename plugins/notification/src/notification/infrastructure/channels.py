"""The adapters of the channels that the installed modules contribute."""

from __future__ import annotations

from notification.application.catalogue import Catalogue
from notification.contracts import Channel, ChannelNotConfigured
from platform_core.ports import Extensions

__all__ = ["ContributedChannels"]


class ContributedChannels:
    """Finds the adapter of a channel among the services of the plugin that contributes it."""

    def __init__(self, catalogue: Catalogue, extensions: Extensions) -> None:
        self._catalogue, self._extensions = catalogue, extensions

    def waits(self, name: str) -> bool:
        contributed = self._catalogue.channels.get(name)
        return contributed is None or contributed[1].waits

    def adapter(self, name: str) -> Channel:
        if name not in self._catalogue.channels:
            raise ChannelNotConfigured(f"no installed module contributes the channel {name}")
        plugin, channel = self._catalogue.channels[name]
        adapter: Channel = self._extensions.resolve(plugin, channel.adapter)
        return adapter
