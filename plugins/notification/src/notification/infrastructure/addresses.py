"""Where the channels reach people."""

from __future__ import annotations

from collections.abc import Sequence

from notification.application.catalogue import Catalogue
from notification.application.ports import Address
from user_management import UserProfileView


class Addresses:
    """`AddressBook`: what the contributed channels make of accounts."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def of(self, channel: str, users: Sequence[UserProfileView]) -> Sequence[Address]:
        _, declaration = self._catalogue.channels[channel]
        found = [(user.id, declaration.address(user)) for user in users]
        return [Address(user_id, text) for user_id, text in found if text is not None]
