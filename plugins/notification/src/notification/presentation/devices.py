"""The caller's devices, which messages are pushed to."""

from __future__ import annotations

from uuid import UUID

from notification.application.devices import GetPushKey, ListDevices, RegisterDevice, RemoveDevice
from notification.contracts import DeviceView, PushKeyView
from notification.domain import DeviceTaken, TooManyDevices
from platform_core.domain import Page
from platform_core.errors import InvalidInput, NotFound
from platform_core.http import Ask, Execute, PageParams, Router

router = Router()


@router.get("/notifications/devices", summary="List your devices")
async def list_devices(page: PageParams, ask: Ask) -> Page[DeviceView]:
    return await ask(ListDevices(page=page))


@router.post(
    "/notifications/devices",
    status_code=201,
    raises=(InvalidInput, DeviceTaken, TooManyDevices),
    summary="Have messages pushed to a device",
)
async def register_device(command: RegisterDevice, execute: Execute) -> DeviceView:
    return await execute(command)


@router.delete("/notifications/devices/{device_id}", raises=(NotFound,), summary="Push to a device no more")
async def remove_device(device_id: UUID, execute: Execute) -> None:
    await execute(RemoveDevice(device_id=device_id))


@router.get(
    "/notifications/push-key", raises=(NotFound,), summary="Read the key that browsers subscribe with"
)
async def get_push_key(ask: Ask) -> PushKeyView:
    return await ask(GetPushKey())
