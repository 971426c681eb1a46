"""
The composition root: the only module that knows all the others.

`Kernel.load(settings)` finds, checks and wires the installed plugins and does no I/O. `running()` starts what they
need, and everything else is asked of the same object: the HTTP application, worker, scheduler, migrations, seeds.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import psycopg
import structlog
from fastapi import APIRouter

from platform_core import __version__, _audit, _operations, _outbox
from platform_core._bus import BeforeCommit, Bus
from platform_core._checks import Checks
from platform_core._deadline import PluginHung, deadline
from platform_core._declared import Declared, collect
from platform_core._discovery import discover
from platform_core._gauges import Backlog, ModuleGauges, PoolGauges
from platform_core._hooks import Hooks
from platform_core._manifest import KERNEL, Manifest, Plugin
from platform_core._messages import Messages
from platform_core._migrations import DatabaseState, ModuleMigrations, module_migrations, read_database
from platform_core._module_operations import ModuleView
from platform_core._offers import kernel_offers, own_settings
from platform_core._pools import Pools
from platform_core._projections import ProjectionGauges, Replays
from platform_core._replica import Replica
from platform_core._sagas import Contribution, Definitions, SagaRunner
from platform_core._sagas.housekeeping import purge as purge_sagas
from platform_core._sagas.housekeeping import release as release_sagas
from platform_core._start_marks import StartMarks, default_directory
from platform_core._switches import Switchboard, forget_gone
from platform_core._uow import SqlUnitOfWork
from platform_core._wiring import Plan, Unit, Wiring
from platform_core.cache import Redis
from platform_core.clock import SystemClock
from platform_core.context import Context, current
from platform_core.copies import outdate
from platform_core.db import Cursors, Reads
from platform_core.declarations import GoneModule, HealthCheck, Projection
from platform_core.domain import Command, Query
from platform_core.errors import HookFailed, InvalidSettings, OperationError, StartupFailed
from platform_core.http.routing import API_PREFIX
from platform_core.keys import DerivedKeys
from platform_core.metrics import Metrics
from platform_core.ports import Clock, PermissionInfo
from platform_core.scheduler import Chore, Scheduler
from platform_core.security import Authenticator
from platform_core.settings import KernelSettings, environment
from platform_core.signals import SignalHub
from platform_core.standings import StandingCache
from platform_core.storage import FileStorage
from platform_core.tasks import Bell
from platform_core.worker import Worker

if TYPE_CHECKING:
    from fastapi import FastAPI

    from platform_core.http.traffic import Traffic

logger = structlog.get_logger("platform_core.app")

_DATABASE_PATIENCE_SECONDS = 30
"""How long a starting process waits for PostgreSQL before it gives up."""


class Kernel:
    """
    The platform with its installed plugins, checked and wired, not yet connected to anything.

    Attributes:
        settings: the deployer's.
        plugins: every plugin in dependency order, the kernel's own first, failed ones included.
        declared: plugin name → what its hooks returned; of active plugins only.
        unavailable: path prefix of a failed plugin → why; these answer 503.
        bus: executes commands, answers queries, delivers events.
        sagas: takes the steps of sagas.
        replays: makes read models of the events there have been.
        switches: which modules are switched off at the moment.
        storage: where files are kept.
    """

    def __init__(
        self, settings: KernelSettings, hooks: Hooks, source: Mapping[str, str], clock: Clock
    ) -> None:
        self.settings, self._hooks, self.clock = settings, hooks, clock
        self.pools = Pools(settings)
        self.keys = DerivedKeys(settings.secret_key)
        self.metrics = Metrics()
        self.metrics.registry.register(PoolGauges(self.pools))
        self.metrics.registry.register(ModuleGauges(lambda: self.plugins))
        self.redis = Redis(settings.redis_url, timeout_seconds=settings.redis_timeout_seconds)
        self.metrics.redis_up.set_function(lambda: float(self.redis.is_available))
        self.pools.replica = self.replica = Replica(settings, self.redis, self.metrics)
        self.cursors = Cursors(self.keys.derive("cursors"))
        self.switches = Switchboard()
        self.standings = StandingCache(settings, self.redis, guests=[self.switches])
        self.signals = SignalHub(
            settings.redis_url, self.redis, connect_timeout_seconds=settings.redis_timeout_seconds
        )
        keys = source.get("AWS_SHARED_CREDENTIALS_FILE")
        scratch = Path(tempfile.gettempdir()) / "platform-core"
        self.storage = FileStorage(settings.storage_url, scratch, credentials=Path(keys) if keys else None)
        self._wake: Callable[[], None] | None = None
        self._bell: Bell | None = None
        self.declared: dict[str, Declared] = {}
        self.unavailable: dict[str, str] = {}
        self.declared = collect(hooks, source)
        Checks(hooks, self.declared, settings).run()
        self._forget_failed()
        self._wire()

    @classmethod
    def load(
        cls,
        settings: KernelSettings,
        source: Mapping[str, str] | None = None,
        *,
        clock: Clock | None = None,
        leaves_marks: bool = False,
    ) -> Kernel:
        """
        Find, check, import and wire the installed plugins.

        Args:
            settings: the kernel's own; `modules` is the allow-list.
            source: where plugins' settings are read from; the process's environment by default.
            clock: the real one by default.
            leaves_marks: note whose code runs, so that a plugin that kills this process is found at the next start;
                for a process that is started again when it dies, or by a person.

        Raises:
            StartupFailed: everything that is wrong with required plugins or the set, at once.
        """
        found = [_built_in(), *discover(settings.modules)]
        limit = settings.startup_timeout_seconds
        keeping = StartMarks(default_directory(), timeout_seconds=limit).kept()
        with keeping if leaves_marks else contextlib.nullcontext() as marks:
            hooks = Hooks(found, timeout_seconds=limit, marks=marks)
            return cls(settings, hooks, environment() if source is None else source, clock or SystemClock())

    # ── what stands after loading ────────────────────────────────────────────────────────────────

    @property
    def plugins(self) -> Sequence[Plugin]:
        return self._hooks.plugins

    @property
    def active(self) -> Sequence[Plugin]:
        """Plugins that have not failed."""
        return self._hooks.active

    @property
    def hooks(self) -> Hooks:
        """Who publishes which hook, and who implements it."""
        return self._hooks

    @property
    def permissions(self) -> Sequence[PermissionInfo]:
        """Every declared permission, in plugin order."""
        return [
            PermissionInfo(permission.name, permission.description, name)
            for name, declared in self.declared.items()
            for permission in declared.permissions
        ]

    def modules(self) -> list[ModuleView]:
        """Describe every installed module, failed ones included; `platform modules list` and the API show it."""
        return [
            ModuleView(
                name=plugin.name,
                version=plugin.version,
                status=plugin.status_where(self.switches.off),
                boot=plugin.manifest.boot,
                schema=plugin.name,
                requires=list(plugin.requires),
                contributes=self.declared.get(plugin.name, Declared()).contributions,
                error=str(plugin.error) if plugin.error else None,
            )
            for plugin in self.plugins
        ]

    @property
    def migrations(self) -> list[ModuleMigrations]:
        """Revisions and tables of every active module, the kernel first; some have none."""
        declared = self.declared
        return [
            module_migrations(plugin, declared[plugin.name].migrations, declared[plugin.name].permissions)
            for plugin in self.active
        ]

    @property
    def handlers(self) -> list[tuple[str, str | None, str]]:
        """Every (handler, event name or None for a task, module), as the subscription table keeps them."""
        events = [
            (name, handler.subscription.event.wire_name, handler.handler.module)
            for name, handler in self.bus.subscribers.items()
        ]
        tasks = [
            (name, None, module) for module, declared in self.declared.items() for name in declared.task_names
        ]
        sagas = [(name, None, module) for name, module in self.sagas.definitions.modules.items()]
        return [*events, *tasks, *sagas]

    def app(self, traffic: Traffic | None = None) -> FastAPI:
        """
        Assemble the HTTP application.

        Its lifespan starts and stops everything else, unless this kernel is running already, as it is where API and
        worker share a process.

        Args:
            traffic: tells the application that the process is shutting down.
        """
        from platform_core._health import routes
        from platform_core.cache import Gate
        from platform_core.http.assembly import HttpParts, ModuleRoutes, build_app
        from platform_core.http.traffic import Traffic as NewTraffic

        traffic = traffic or NewTraffic()
        health = APIRouter()
        health.routes.extend(
            routes(self, lambda: traffic.is_draining, details=not self.settings.is_production)
        )
        return build_app(
            HttpParts(
                settings=self.settings,
                bus=self.bus,
                follow=self.follow,
                pools=self.pools,
                keys=self.keys,
                gate=Gate(self.redis),
                standings=self.standings,
                replica=self.replica,
                authenticators=lambda: self.authenticators,
                audit_denied=self._audit_denied,
                storage=self.storage,
                modules=[
                    ModuleRoutes(plugin.name, plugin.manifest.title, self.declared[plugin.name].routers)
                    for plugin in self.active
                ],
                unavailable=self.unavailable,
                off=self.switches.off,
                operations=[health],
                lifespan=self._lifespan,
                metrics=self.metrics,
                traffic=traffic,
            )
        )

    async def _audit_denied(self, context: Context, action: str, detail: str) -> None:
        await _audit.record_denied(self.pools, context, action=action, outcome="denied", detail=detail)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        if self._bell is not None:
            yield
            return
        async with self.running():
            await self.announce()
            yield

    def worker(self, *, off: Container[str] | None = None) -> Worker:
        """
        Return a worker for every handler and task; run it inside `running(listen=worker.wake)`.

        Args:
            off: modules whose work it leaves to others; those that are switched off, as a rule.
        """
        self.bus.codec.prepare()
        return Worker(
            self.settings,
            self.pools,
            self.bus,
            self.metrics,
            self.sagas,
            self.replays,
            self.switches.resting if off is None else off,
        )

    def scheduler(self) -> Scheduler:
        """Return a scheduler for every schedule."""
        from platform_core.http.idempotency import purge_idempotency_keys

        backlog = Backlog(self.pools.claims, self.switches.resting)
        projections = ProjectionGauges(self.replays)
        self.metrics.registry.register(backlog)
        self.metrics.registry.register(projections)
        schedules = [schedule for declared in self.declared.values() for schedule in declared.schedules]
        chores = [
            Chore(
                "idempotency keys",
                300,
                lambda: purge_idempotency_keys(self.pools, self.settings.idempotency_hours),
            ),
            Chore("backlog", 15, backlog.look),
            Chore("projections", 15, projections.look),
            Chore("sagas of modules that were taken out", 60, self._release_sagas),
            Chore(
                "ended sagas",
                600,
                lambda: purge_sagas(
                    self.pools.commands(KERNEL), retention_days=self.settings.saga_retention_days
                ),
            ),
        ]
        scheduler = Scheduler(
            self.settings, self.pools, self.clock, schedules, self._ring, chores, self.switches.off
        )
        self.metrics.scheduler_acting.set_function(lambda: float(scheduler.is_acting))
        return scheduler

    # ── running ──────────────────────────────────────────────────────────────────────────────────

    @contextlib.asynccontextmanager
    async def running(self, *, listen: Callable[[], None] | None = None) -> AsyncIterator[Kernel]:
        """
        Start services, caches and the bell; stop them in reverse order.

        Args:
            listen: a worker's `wake`; called when Redis rings.
        """
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._fall_silent)
            self._bell, self._wake = Bell(self.settings, listen), listen
            self.switches.changed = listen
            stack.push_async_callback(self.pools.close)
            stack.push_async_callback(self.redis.close)
            stack.callback(self.storage.close)
            await self._settle_with_database()
            await self._refuse_cluster()
            await self._bell.start()
            stack.push_async_callback(self._bell.stop)
            stack.push_async_callback(self.signals.stop)
            await self.replica.start()
            stack.push_async_callback(self.replica.stop)
            await self.standings.start()
            stack.push_async_callback(self.standings.stop)
            await stack.enter_async_context(self.wiring.started(self._starting))
            self._drop_failed()
            yield self

    def _fall_silent(self) -> None:
        self._bell, self._wake, self.switches.changed = None, None, None

    async def _refuse_cluster(self) -> None:
        """A node of a cluster redirects what another one holds, and scripts need all their keys on one node."""
        if await self.redis.is_cluster():
            problem = "REDIS_URL names a node of a Redis Cluster, which is not supported"
            hint = "use one server, or a managed Redis with cluster mode disabled: docs/operations/redis.md"
            raise StartupFailed("The platform cannot start:", [InvalidSettings(KERNEL, problem, hint)])

    async def _settle_with_database(self) -> None:
        """Learn the modules' roles, and set optional modules aside whose tables are not what this build needs."""
        state = await self._read_database()
        self.pools.roles = state.roles if self.settings.database_roles else {}
        for module in state.not_ready:
            plugin = self._hooks.plugin(module.name)
            if not plugin.is_required:  # a required one makes the process unready until somebody migrates
                hint = (
                    "run `platform db upgrade`, which a new module needs once, and start the processes again"
                )
                self._hooks.fail(plugin, HookFailed(plugin.name, f"migration: {module}", hint))
        self._hooks.settle()
        for plugin in self.plugins:
            if plugin.error is not None:
                logger.error("plugin is left out", plugin=plugin.name, reason=str(plugin.error))

    async def _read_database(self) -> DatabaseState:
        waited = 0.0
        while True:
            try:
                return await read_database(self.settings.database_url.get_secret_value(), self.migrations)
            except (psycopg.OperationalError, OSError) as error:
                if waited >= _DATABASE_PATIENCE_SECONDS:
                    problem = "PostgreSQL does not answer, or its address cannot be read"
                    raise OperationError(f"{problem}: {str(error).strip()}; check DATABASE_URL") from error
                logger.warning("waiting for PostgreSQL", error=str(error).strip())
                waited += 1
                await asyncio.sleep(1)

    async def announce(self) -> None:
        """
        Write this build's handlers into the subscription table, so that every producer serves them.

        Those of a module that is off, too, as this build may have more of them; of one that was taken out none, because
        nothing is to be kept for it.
        """
        removed = self.switches.removed
        if self.switches.off:
            await forget_gone(self.pools.commands(KERNEL), [plugin.name for plugin in self.plugins])
        known = [
            (handler, event, module) for handler, event, module in self.handlers if module not in removed
        ]
        await _outbox.sync_subscriptions(self.pools.commands(KERNEL), known)
        await self.replays.register(removed)
        await self._release_sagas()

    async def _release_sagas(self) -> None:
        here = [plugin.name for plugin in self.plugins if plugin.name not in self.switches.removed]
        await release_sagas(self.pools.commands(KERNEL), here)

    async def call(self, module: str, function: Callable[..., Any]) -> Any:
        """
        Await a declared function such as a seed or a health check, with what its parameters ask for.

        Raises:
            StartupError: a parameter cannot be provided.
        """
        plan = self._plan(module, function)
        return await plan.function(**plan.arguments(Unit(current())))

    async def forget(self, gone: GoneModule) -> None:
        """
        Have the other modules forget what they keep under the names of one that is purged.

        Args:
            gone: with the permissions that it claimed when it was migrated. A migration compares them with nobody's;
                what an active module declares is that module's, and stays.

        Raises:
            OperationError: one of them could not.
        """
        others = {permission.name for permission in self.permissions if permission.module != gone.name}
        gone = replace(gone, permissions=[name for name in gone.permissions if name not in others])
        for name, declared in self.declared.items():
            for forgetting in declared.forgetting if name != gone.name else ():
                plan = self._plan(name, forgetting.run, skip=1)
                try:
                    await plan.function(gone, **plan.arguments(Unit(current())))
                except Exception as error:
                    raise OperationError(
                        f"{name} could not forget the {forgetting.name} of {gone.name}: {error}. Run this again."
                    ) from error

    async def check(self, module: str, health: HealthCheck) -> str | None:
        """Run one health check within its time and return its remark; raises when the thing is away."""
        async with asyncio.timeout(health.timeout_seconds):
            remark: str | None = await self.call(module, health.check)
            return remark

    @property
    def authenticators(self) -> dict[str, Authenticator]:
        """Authenticators by scheme, once services are started."""
        found: dict[str, Authenticator] = {}
        for plugin in self._hooks.claimants:
            wanted = self.declared[plugin.name].authenticator
            if wanted is not None:
                authenticator = cast("Authenticator", self.wiring.resolve(plugin.name, wanted))
                found.setdefault(authenticator.scheme.lower(), authenticator)
        return found

    # ── assembly ─────────────────────────────────────────────────────────────────────────────────

    def _wire(self) -> None:
        """Plan every function; a plugin whose plan fails is dropped, and the rest planned anew without it."""
        while True:
            active = list(self.active)
            services = {name: declared.services for name, declared in self.declared.items()}
            self.wiring = Wiring(active, services, kernel_offers(self), own_settings(self.declared))
            self._messages = Messages.planned(self.wiring, self.declared)
            for name, problem in self.wiring.problems:
                self._hooks.fail(self._hooks.plugin(name), problem)
            self._hooks.settle()
            self._forget_failed()
            if len(self.active) == len(active):
                break
        self.bus = Bus(self.pools, self.clock, self._messages, ring=self._ring, forget=self._after_commit)
        self.replays = Replays(self._projections(), self.bus, self.pools, self.clock)
        self.sagas = SagaRunner(
            self._definitions(),
            self.bus,
            self.pools,
            self.clock,
            self.settings.lease_seconds,
            self._ring,
            self.metrics,
        )

    def _projections(self) -> dict[str, Projection]:
        return {made.name: made for declared in self.declared.values() for made in declared.projections}

    def _definitions(self) -> Definitions:
        return Definitions(
            [(module, saga) for module, declared in self.declared.items() for saga in declared.sagas],
            [
                Contribution(module, hook, step)
                for module, declared in self.declared.items()
                for hook, steps in declared.saga_steps.items()
                for step in steps
            ],
            self.switches.resting,
        )

    def reads(self, module: str) -> Reads:
        """Return the read side as a module sees it, with its own role."""
        return Reads(self.pools, module, self.cursors)

    def collect(self, hook: str) -> Mapping[str, Any]:
        """Return what each plugin declares for a hook, be it the kernel's or another plugin's."""
        return self._hooks.collect(hook)

    async def bus_execute(self, command: Command[Any], before_commit: Sequence[BeforeCommit] = ()) -> Any:
        """Execute as the current principal; what the port `Execute` is."""
        return await self.bus.execute(command, before_commit)

    async def bus_ask(self, query: Query[Any]) -> Any:
        """Ask as the current principal; what the port `Ask` is."""
        return await self.bus.ask(query)

    def _ring(self, ids: Sequence[Any]) -> None:
        if ids and self._bell is not None:
            self._bell.ring(ids)
            if self._wake is not None:  # API and worker in one process need no Redis in between
                self._wake()

    async def follow(self, saga_id: UUID) -> bool:
        """Take the steps of a saga on behalf of who waits for it; what the port `Follow` is."""
        try:
            return await self.sagas.follow(saga_id)
        finally:
            await self.replica.wrote(current())  # its steps wrote on behalf of whoever waited

    async def _after_commit(self, uow: SqlUnitOfWork) -> None:
        await self.replica.wrote(uow.context)
        if uow.revoked:
            await self.standings.forget(uow.revoked)
        if uow.outdated:
            await outdate(self.redis, uow.outdated)
        if uow.signals:
            self.signals.publish(uow.signals)

    def _plan(self, module: str, function: Callable[..., Any], *, skip: int = 0) -> Plan:
        known = len(self.wiring.problems)
        plan = self.wiring.plan(module, function, skip=skip)
        if plan is None:
            raise self.wiring.problems[known][1]
        return plan

    def _forget_failed(self) -> None:
        names = {plugin.name for plugin in self.active}
        # what a failed plugin's manifest claims of somebody who runs stays theirs
        owned = [path for plugin in self.active for path in plugin.manifest.paths]
        prefixes = (API_PREFIX, "")  # a manifest does not say which of its paths lie outside of the API
        self.unavailable |= {
            f"{prefix}{path}": str(plugin.error)
            for plugin in self.plugins
            if plugin.error
            for path in plugin.manifest.paths
            if not any(path == own or path.startswith(f"{own}/") for own in owned)
            for prefix in prefixes
        }
        self.declared = {name: declared for name, declared in self.declared.items() if name in names}

    def _drop_failed(self) -> None:
        """After services have started: stop serving handlers of a plugin that could not start."""
        self._forget_failed()
        tasks = {name for declared in self.declared.values() for name in declared.task_names}
        self._messages.keep(self.declared, tasks)
        self.sagas.definitions = self._definitions()
        self.replays.projections = self._projections()

    @contextlib.asynccontextmanager
    async def _starting(self, name: str) -> AsyncIterator[None]:
        """Contain one plugin's service factory: a failure or a hang costs only that plugin."""
        plugin = self._hooks.plugin(name)
        try:
            # the alarm is for a factory that blocks the loop; one that merely waits is cut off by the loop before
            with deadline(self.settings.startup_timeout_seconds + 1):
                async with asyncio.timeout(self.settings.startup_timeout_seconds):
                    yield
        except (Exception, PluginHung, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            failure = HookFailed(
                name, f"starting its services failed: {reason}", "see the log for its traceback"
            )
            failure.__cause__ = error
            logger.error("plugin failed to start", plugin=name, reason=reason, exc_info=error)
            self._hooks.fail(plugin, failure)
            self._hooks.settle()


def _built_in() -> Plugin:
    """Return the kernel as a plugin of its own; each kernel of a process gets another, as they share no state."""
    return Plugin(
        name=KERNEL,
        version=__version__,
        distribution="platform-core",
        manifest=Manifest(title="Platform", boot="required", paths=("/platform",)),
        module=_operations,
    )
