"""The caller's devices, which messages are pushed to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from annotated_types import Len

from notification.application.ports import DeviceRepository
from notification.contracts import DeviceView, PushKeyView
from notification.domain import Device, check_subscription, free_place
from notification.settings import NotificationSettings
from platform_core.domain import Command, Page, PageRequest, Query, body, new_id
from platform_core.errors import NotFound
from platform_core.ports import Clock
from platform_core.security import Principal


@body
@dataclass(frozen=True)
class SubscriptionKeys:
    """Keys of a push subscription, base64url."""

    p256dh: Annotated[str, Len(1, 200)]
    auth: Annotated[str, Len(1, 100)]


@dataclass(frozen=True, kw_only=True)
class RegisterDevice(Command[DeviceView]):
    """
    Push messages to this device from now on.

    It takes what `PushSubscription.toJSON()` of a browser gives (W3C Push API), and a name.

    Attributes:
        expirationTime: told by some browsers; the push service says itself when it is over.
    """

    endpoint: Annotated[str, Len(1, 2000)]
    keys: SubscriptionKeys
    expirationTime: float | None = None  # noqa: N815  # as browsers spell it
    name: Annotated[str, Len(1, 100)] | None = None


@dataclass(frozen=True, kw_only=True)
class RemoveDevice(Command[None]):
    """Push nothing to this device any more."""

    device_id: UUID


@dataclass(frozen=True, kw_only=True)
class ListDevices(Query[Page[DeviceView]]):
    """The caller's devices, newest first."""

    page: PageRequest


@dataclass(frozen=True, kw_only=True)
class GetPushKey(Query[PushKeyView]):
    """The key that a browser subscribes with."""


async def register_device(
    command: RegisterDevice,
    principal: Principal,
    devices: DeviceRepository,
    settings: NotificationSettings,
    clock: Clock,
) -> DeviceView:
    """
    Keep a device; one that is registered already is not kept twice.

    Raises:
        InvalidInput: it is no subscription that could be sent to.
        DeviceTaken: it is somebody else's.
        TooManyDevices: there is no place left.
    """
    user_id, now = principal.require_user(), clock.now()
    keys = command.keys
    check_subscription(command.endpoint, keys.p256dh, keys.auth, trusted=settings.push_hosts)
    known = await devices.around(user_id, command.endpoint)
    device = next((one for one in known if one.endpoint == command.endpoint), None)
    taken = {one.place for one in known if one.user_id == user_id}
    if device is not None:
        place = device.place if device.user_id == user_id else free_place(taken)
        device.register_again(user_id, keys.p256dh, keys.auth, command.name, place, now)
    else:
        device = Device(
            id=new_id(),
            created_at=now,
            updated_at=now,
            user_id=user_id,
            endpoint=command.endpoint,
            p256dh=keys.p256dh,
            auth=keys.auth,
            name=command.name,
            place=free_place(taken),
        )
        devices.add(device)
    return DeviceView(device.id, device.name, device.endpoint, device.created_at, device.updated_at)


async def remove_device(
    command: RemoveDevice, principal: Principal, devices: DeviceRepository, clock: Clock
) -> None:
    """Handle `RemoveDevice`; raises NotFound for somebody else's device as for none."""
    device = await devices.get(command.device_id)
    if device.user_id != principal.require_user():
        raise NotFound
    device.delete(clock.now())
