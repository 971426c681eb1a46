"""
What the kernel gives to functions of plugins: each type that a parameter may have, and where its value comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from platform_core._module_operations import Registry
from platform_core._outbox import Delivery
from platform_core._projections import Replays
from platform_core._sagas import Definitions, UowSagas
from platform_core._uow import SqlUnitOfWork
from platform_core._wiring import KernelOffer, Unit
from platform_core.context import Context
from platform_core.copies import ModuleCache, UowCache
from platform_core.db import Cursors, Reads, UnitOfWork
from platform_core.declarations import Scope
from platform_core.ports import (
    Ask,
    Cache,
    CacheInvalidation,
    Clock,
    EventMetadata,
    Execute,
    Extensions,
    Follow,
    Jobs,
    Keys,
    Outbox,
    PermissionInfo,
    Permissions,
    Sagas,
    Signals,
    Standings,
    Storage,
    Watches,
)
from platform_core.security import Principal
from platform_core.settings import KernelSettings
from platform_core.signals import UowSignals
from platform_core.standings import UowStandings

if TYPE_CHECKING:
    from platform_core._declared import Declared
    from platform_core.app import Kernel


def kernel_offers(kernel: Kernel) -> dict[type[Any], KernelOffer]:
    """Return what `kernel` provides, by type; what is made later than the wiring is looked up when it is asked for."""

    def always(value: Any) -> KernelOffer:
        return KernelOffer(lambda _module, _unit: value, Scope.APPLICATION)

    def of_unit(get: Callable[[str, Unit], Any], *, writes: bool = True) -> KernelOffer:
        return KernelOffer(get, Scope.UNIT_OF_WORK, writes)

    def uow(_module: str, unit: Unit) -> Any:
        return unit.offers[SqlUnitOfWork]

    return {
        KernelSettings: always(kernel.settings),
        Clock: always(kernel.clock),
        Keys: always(kernel.keys),
        Cursors: always(kernel.cursors),
        Permissions: always(_Permissions(kernel)),
        Execute: always(kernel.bus_execute),
        Ask: always(kernel.bus_ask),
        Reads: KernelOffer(lambda module, _unit: kernel.reads(module), Scope.APPLICATION),
        Extensions: always(_Extensions(kernel)),
        Definitions: KernelOffer(lambda _module, _unit: kernel.sagas.definitions, Scope.APPLICATION),
        Follow: always(kernel.follow),
        Replays: KernelOffer(lambda _module, _unit: kernel.replays, Scope.APPLICATION),
        Storage: always(kernel.storage),
        Registry: always(kernel),
        Watches: always(kernel.signals),
        Cache: KernelOffer(lambda module, _unit: ModuleCache(kernel.redis, module), Scope.APPLICATION),
        SqlUnitOfWork: of_unit(uow),
        UnitOfWork: of_unit(uow),
        Outbox: of_unit(uow),
        Jobs: of_unit(uow),
        Standings: of_unit(lambda module, unit: UowStandings(uow(module, unit))),
        Sagas: of_unit(lambda module, unit: UowSagas(uow(module, unit), lambda: kernel.sagas.definitions)),
        Signals: of_unit(lambda module, unit: UowSignals(uow(module, unit))),
        CacheInvalidation: of_unit(lambda module, unit: UowCache(uow(module, unit), module)),
        EventMetadata: of_unit(lambda _module, unit: _metadata(unit.offers[Delivery]), writes=False),
        Principal: of_unit(lambda _module, unit: unit.context.principal, writes=False),
        Context: of_unit(lambda _module, unit: unit.context, writes=False),
    }


def own_settings(declared: Mapping[str, Declared]) -> dict[str, dict[type[Any], Any]]:
    """Return each module's own settings by their type, which nobody else is given."""
    return {
        name: {type(of_module.settings): of_module.settings}
        for name, of_module in declared.items()
        if of_module.settings is not None
    }


@dataclass(frozen=True)
class _Permissions:
    """`ports.Permissions` of one kernel."""

    kernel: Kernel

    def all(self) -> Sequence[PermissionInfo]:
        return self.kernel.permissions


@dataclass(frozen=True)
class _Extensions:
    """`ports.Extensions` of one kernel; asked at run time, when the wiring stands."""

    kernel: Kernel

    def collect(self, hook: str) -> Mapping[str, Any]:
        return self.kernel.collect(hook)

    def resolve(self, module: str, wanted: type[Any]) -> Any:
        return self.kernel.wiring.resolve(module, wanted)


@dataclass
class _Metadata:
    """`ports.EventMetadata` of one delivery."""

    event_id: Any
    position: Any
    occurred_at: Any
    aggregate_type: str
    aggregate_id: Any
    actor_id: Any
    correlation_id: str
    attempt: int


def _metadata(delivery: Delivery) -> _Metadata:
    return _Metadata(
        event_id=delivery.event_id,
        position=delivery.position,
        occurred_at=delivery.occurred_at,
        aggregate_type=delivery.aggregate_type,
        aggregate_id=delivery.aggregate_id,
        actor_id=delivery.actor_id,
        correlation_id=delivery.correlation_id,
        attempt=delivery.attempt,
    )
