"""Where the channels reach people: what accounts say, and for pushes their devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Uuid, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from notification.application.catalogue import Catalogue
from notification.application.ports import Address
from notification.contracts import PUSH
from notification.infrastructure.tables import devices
from platform_core.db import UnitOfWork
from user_management import UserProfileView

# the log tells which push service takes it, and nothing by which anybody could send something
_DEVICES: Final = select(
    devices.c.user_id, devices.c.id, func.split_part(devices.c.endpoint, "/", 3).label("push_service")
).where(devices.c.user_id == any_(bindparam("users", type_=ARRAY(Uuid))), devices.c.deleted_at.is_(None))


class Addresses:
    """`AddressBook`."""

    def __init__(self, catalogue: Catalogue, uow: UnitOfWork) -> None:
        self._catalogue, self._uow = catalogue, uow

    async def of(self, channel: str, users: Sequence[UserProfileView]) -> Sequence[Address]:
        if channel == PUSH:
            rows = await self._uow.fetch_all(_DEVICES, {"users": [user.id for user in users]})
            return [Address(row["user_id"], row["push_service"], row["id"]) for row in rows]
        _, declaration = self._catalogue.channels[channel]
        found = [(user.id, declaration.address(user)) for user in users]
        return [Address(user_id, text) for user_id, text in found if text is not None]
