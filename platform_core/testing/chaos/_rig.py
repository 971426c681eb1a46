"""A platform of real processes, load on it, and faults; published as the fixture `chaos`."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.rows import dict_row

from platform_core._pools import libpq_url
from platform_core.testing._platform import Factory, RunningPlatform
from platform_core.testing._plugins import PluginSource
from platform_core.testing.chaos._crew import Crew
from platform_core.testing.chaos._oracle import Oracle, audit_problem, doubled_mails
from platform_core.testing.chaos._proxy import Address, Proxy, proxy, through
from platform_core.testing.chaos._schedule import Every, Fault, Scale, strikes
from platform_core.testing.chaos._servers import PostgresServer, RedisServer, postgres_server
from platform_core.testing.chaos._workload import History, Load, Operation

if TYPE_CHECKING:
    from platform_core.testing._databases import Databases

R = TypeVar("R")

LEASE_SECONDS = 2.0
RECOVERY_SECONDS = 30.0
"""How long the platform may take to settle once faults and load are over."""

_SETTINGS = {
    "PLATFORM_LEASE_SECONDS": str(LEASE_SECONDS),
    "PLATFORM_POLL_SECONDS": "0.5",
    "PLATFORM_DATABASE_POOL_TIMEOUT_SECONDS": "1.5",
    "PLATFORM_DATABASE_POOL_SIZE": "5",
    "PLATFORM_LOG_LEVEL": "INFO",
}
"""
Short leases keep runs short, and a process that lives for seconds opens few connections; the pool's patience is
production's, not that of tests.
"""

_SHOWN_COUNT = 20
_WORKERS_COUNT = 2


class ChaosFailed(AssertionError):
    """The platform broke a promise; the message has the seed, the faults and what is wrong."""


@dataclass
class Report:
    """
    What a run did and what came of it.

    Attributes:
        seed: gives the same faults again: `pytest --chaos-seed`.
        faults: (seconds after the start, what), in order.
        over: the same when each was over: a server back, a connection healed.
        gaps_seconds: by verb and target's kind, the seconds from a fault's end to the next acknowledgement.
        settled_seconds: from the end of the load until nothing was pending.
        delays_seconds: from each event to the end of its delivery.
        findings: promises that were broken.
    """

    seed: int
    seconds: float = 0
    acknowledged_count: int = 0
    unanswered_count: int = 0
    refusals: Mapping[str, int] = field(default_factory=dict)
    faults: list[tuple[float, Fault]] = field(default_factory=list)
    over: list[tuple[float, Fault]] = field(default_factory=list)
    gaps_seconds: Mapping[str, list[float]] = field(default_factory=dict)
    settled_seconds: float | None = None
    delays_seconds: Sequence[float] = ()
    redeliveries_count: int = 0
    doubled_mails_count: int = 0
    slowest_try_seconds: float = 0
    starts_seconds: Sequence[float] = ()
    findings: list[str] = field(default_factory=list)

    @property
    def kills_count(self) -> int:
        """How many processes of the platform were killed."""
        return sum(fault.verb == "kill" and fault.target != "redis" for _, fault in self.faults)

    def summary(self) -> str:
        """Return the figures, a line each."""
        struck = Counter(f"{fault.verb} {_kind(fault)}" for _, fault in self.faults)
        lines = [
            f"seed {self.seed}: {self.acknowledged_count} acknowledged in {self.seconds:.0f} s, "
            f"{self.unanswered_count} left unanswered at the end",
            f"faults: {', '.join(f'{count} x {what}' for what, count in sorted(struck.items())) or 'none'}",
            f"clients met: {', '.join(f'{n} x {what}' for what, n in sorted(self.refusals.items())) or 'nothing'}",
            *(
                f"from the end of {what} to the next 2xx: median {statistics.median(gaps):.2f} s, "
                f"p95 {percentile(gaps, 95):.2f} s, longest {max(gaps):.2f} s"
                for what, gaps in sorted(self.gaps_seconds.items())
            ),
            f"from event to delivered: median {percentile(self.delays_seconds, 50):.2f} s, "
            f"p95 {percentile(self.delays_seconds, 95):.2f} s, p99 {percentile(self.delays_seconds, 99):.2f} s, "
            f"longest {percentile(self.delays_seconds, 100):.2f} s",
            f"settled {self.settled_seconds:.1f} s after the load"
            if self.settled_seconds is not None
            else "never settled",
            f"{self.redeliveries_count} deliveries needed more than one attempt, "
            f"{self.doubled_mails_count} mails came twice",
            f"slowest try {self.slowest_try_seconds:.2f} s, {len(self.starts_seconds)} starts of processes: "
            f"median {percentile(self.starts_seconds, 50):.2f} s, p95 {percentile(self.starts_seconds, 95):.2f} s",
            f"broken promises: {len(self.findings)}",
        ]
        return "\n".join(lines)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that so many percent do not exceed; 0 of nothing."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else 0.0


def _kind(fault: Fault) -> str:
    return fault.target.partition(" ")[0]


class Rig:
    """
    The platform as processes, with a proxy before each server; made by the fixture `chaos`.

    Attributes:
        p: the same platform in the test's own process: direct connections, and no fault reaches them.
        crew: the processes.
        before_postgres, before_redis: the proxies that the processes go through.
        redis, postgres: servers of this run's own; `postgres` only where it was asked for.
        directory: logs of clients and processes.
    """

    def __init__(
        self,
        p: RunningPlatform,
        crew: Crew,
        before_postgres: Proxy,
        before_redis: Proxy,
        redis: RedisServer,
        postgres: PostgresServer | None,
        directory: Path,
        seed: int,
        scale: Scale,
        tell: Callable[[str], None],
    ) -> None:
        self.p, self.crew, self.directory = p, crew, directory
        self.before_postgres, self.before_redis = before_postgres, before_redis
        self.redis, self.postgres = redis, postgres
        self._seed, self._scale, self._tell = seed, scale, tell
        self._runs_count = 0
        self._healing: dict[str, int] = defaultdict(int)
        self._one_at_a_time: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def run(
        self,
        make: Callable[[int], Operation],
        faults: Sequence[Every] | None = None,
        *,
        acknowledged_count: int | None = None,
        faults_count: int | None = None,
        clients_count: int = 12,
        effects: Mapping[str, str] | None = None,
        recovery_seconds: float = RECOVERY_SECONDS,
    ) -> Report:
        """
        Put load on the platform while faults strike, let it settle, and hold it to what it promised.

        Args:
            make: called with 0, 1, 2, …; returns the operation to send.
            faults: which strike when; what `--chaos-scale` says by default, as the two that follow.
            acknowledged_count: how many operations must be acknowledged.
            faults_count: how many faults must have struck before the load may end.
            clients_count: requests in flight at once.
            effects: by handler, SQL that returns the `event_id` of every effect it had, duplicates too.

        Raises:
            ChaosFailed: a promise was broken.
        """
        scale = self._scale
        plan = scale.faults if faults is None else faults
        wanted = scale.acknowledged_count if acknowledged_count is None else acknowledged_count
        least = (scale.faults_count if faults is None else 0) if faults_count is None else faults_count
        self._runs_count += 1
        history = History(self.directory / f"history-{self._runs_count}.jsonl")
        report = Report(self._seed)
        tag = f"chaos-{self._seed}-{self._runs_count}"
        load = Load(self.crew.urls, make, history, clients_count=clients_count, tag=tag)
        started = time.monotonic()
        nemesis = asyncio.create_task(self._strike(plan, report, history), name="nemesis")
        try:
            await load.run(wanted, until=lambda: _is_working(nemesis) and len(report.faults) >= least)
        finally:
            nemesis.cancel()
            await asyncio.gather(nemesis, return_exceptions=True)
            report.seconds = time.monotonic() - started
            history.close()
        self.before_postgres.heal()
        self.before_redis.heal()
        report.gaps_seconds = _gaps(started, report.over, history)
        report.acknowledged_count = len(history.acknowledged)
        report.unanswered_count = len(history.issued) - report.acknowledged_count
        report.refusals, report.slowest_try_seconds = history.refusals, history.slowest_seconds
        await self._judge(report, Oracle(self.sql, history, effects or {}), recovery_seconds)
        self._conclude(report)
        return report

    async def sql(self, statement: str, /, **params: Any) -> list[dict[str, Any]]:
        """Run SQL on a connection of its own, so that it works between two crashes."""
        url = libpq_url(self.p.database_url)
        async with await psycopg.AsyncConnection.connect(
            url, autocommit=True, row_factory=dict_row
        ) as connection:
            cursor = await connection.execute(statement.encode(), params or None)
            return await cursor.fetchall() if cursor.description is not None else []

    # ── faults ───────────────────────────────────────────────────────────────────────────────────

    async def strike(self, fault: Fault) -> None:
        """Let one fault happen; returns when it is over."""
        if fault.target in ("postgres", "redis"):
            await self._strike_server(fault)
        elif fault.verb == "kill":
            self.crew.kill(fault.target)
        elif fault.verb == "terminate":
            self.crew.terminate(fault.target)
        elif fault.verb == "hang":
            self.crew.suspend(fault.target)
            await asyncio.sleep(fault.seconds)
            self.crew.resume(fault.target)
        else:
            raise ValueError(f"nobody knows how to {fault}")

    async def _strike_server(self, fault: Fault) -> None:
        server = {"crash postgres": self._crash, "kill redis": self._lose, "flush redis": self._flush}
        if act := server.get(f"{fault.verb} {fault.target}"):
            async with self._one_at_a_time[fault.target]:  # a server has to be there to be struck
                await asyncio.to_thread(act)
            return
        before = self.before_postgres if fault.target == "postgres" else self.before_redis
        acts: dict[str, Callable[[], None]] = {
            "delay": lambda: before.delay(fault.amount),
            "black hole before": before.black_hole,
            "refuse": before.refuse,
            "reset": before.reset,
            "cut": lambda: before.cut_after(int(fault.amount)),
        }
        acts[fault.verb]()
        if fault.seconds:
            self._healing[fault.target] += 1
            try:
                await asyncio.sleep(fault.seconds)
            finally:
                self._healing[fault.target] -= 1
                if not self._healing[fault.target]:
                    before.heal()

    def _crash(self) -> None:
        assert self.postgres is not None, "ask for a PostgreSQL of your own: chaos(…, own_postgres=True)"
        self.postgres.crash()
        self.postgres.start()

    def _lose(self) -> None:
        self.redis.stop()
        time.sleep(0.5)
        self.redis.start()

    def _flush(self) -> None:
        with self.redis.client() as client:
            client.flushall()

    async def _strike(self, plan: Sequence[Every], report: Report, history: History) -> None:
        """Follow the plan; faults that last overlap, and one that crashes a server is waited for."""
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for at, fault in strikes(self._seed, plan):
                await asyncio.sleep(max(0.0, started + at - time.monotonic()))
                report.faults.append((round(time.monotonic() - started, 2), fault))
                history.write("fault", fault=str(fault))
                group.create_task(self._endure(fault, report, started), name=str(fault))

    async def _endure(self, fault: Fault, report: Report, started: float) -> None:
        await self.strike(fault)
        report.over.append((time.monotonic() - started, fault))

    # ── judgement ────────────────────────────────────────────────────────────────────────────────

    async def _judge(self, report: Report, oracle: Oracle, recovery_seconds: float) -> None:
        report.settled_seconds = await oracle.settled(within_seconds=recovery_seconds)
        await self.crew.all_ready()
        if report.settled_seconds is None:
            report.findings.append(f"work is still pending {recovery_seconds:g} s after the load")
        report.findings += await oracle.findings()
        report.findings += self.crew.surprises
        if problem := await audit_problem(self.p.environment):
            report.findings.append(problem)
        await self._figures(report)
        excuses = _WORKERS_COUNT * sum(fault.parts_workers_from_postgres for _, fault in report.faults)
        if report.doubled_mails_count > excuses:
            report.findings.append(
                f"{report.doubled_mails_count} mails came twice, and faults explain {excuses} at most"
            )

    async def _figures(self, report: Report) -> None:
        delays = await self.sql(
            "SELECT extract(epoch FROM d.finished_at - e.occurred_at)::float8 AS seconds, d.attempts_count"
            " FROM platform.deliveries d JOIN audit.domain_events e ON e.id = d.event_id WHERE d.status = 'done'"
        )
        report.delays_seconds = [row["seconds"] for row in delays]
        report.redeliveries_count = sum(row["attempts_count"] > 1 for row in delays)
        report.starts_seconds = list(self.crew.starts_seconds)
        with contextlib.suppress(LookupError):  # no mail server, no mails
            report.doubled_mails_count = doubled_mails(self.p)

    def _conclude(self, report: Report) -> None:
        self._tell(report.summary())
        if not report.findings:
            return
        shown = report.findings[:_SHOWN_COUNT]
        more = len(report.findings) - len(shown)
        faults = "\n".join(f"  {at:7.2f} s  {fault}" for at, fault in report.faults)
        raise ChaosFailed(
            "\n".join(
                [
                    f"The platform broke {len(report.findings)} promises.",
                    *(f"- {finding}" for finding in shown),
                    *([f"- and {more} more"] if more else []),
                    f"The same faults again: pytest --chaos-seed {report.seed}",
                    f"What clients were told, and the logs of all processes: {self.directory}",
                    report.summary(),
                    "What struck:",
                    faults,
                ]
            )
        )


def _is_working(nemesis: asyncio.Task[None]) -> bool:
    """Return True; a nemesis that broke down would make everything look well, so its error is raised."""
    if nemesis.done():
        nemesis.result()
    return True


def _gaps(
    started: float, faults: Sequence[tuple[float, Fault]], history: History
) -> Mapping[str, list[float]]:
    """Return, by kind of fault, the seconds from each to the next acknowledgement."""
    moments = [told.at - started for told in history.acknowledged]
    gaps: dict[str, list[float]] = defaultdict(list)
    index = 0
    for at, fault in faults:
        while index < len(moments) and moments[index] < at:
            index += 1
        if index < len(moments):
            gaps[f"{fault.verb} {_kind(fault)}"].append(moments[index] - at)
    return gaps


@dataclass
class Chaos:
    """
    What the fixture `chaos` is: call it to open a rig.

    Args:
        databases: makes fresh ones on the run's server.
        directory: for logs.
        seed: of the faults; printed when a run fails.
        scale: how much of it.
        tell: takes the figures of each run, for the end of pytest's output.
    """

    databases: Callable[[], Databases]
    directory: Path
    seed: int
    scale: Scale
    tell: Callable[[str], None]

    @contextlib.asynccontextmanager
    async def __call__(
        self,
        modules: Iterable[str],
        *,
        extra: Iterable[PluginSource | Path] = (),
        settings: Mapping[str, str] | None = None,
        seed: Callable[[RunningPlatform], Awaitable[None]] | None = None,
        own_postgres: bool | None = None,
        processes: Mapping[str, int] | None = None,
    ) -> AsyncIterator[Rig]:
        """
        Run the platform as processes for the length of an `async with` block.

        Args:
            modules, extra, settings, seed: as for the fixture `platform`.
            own_postgres: start a server that may crash, as durable as production's; else the run's server is shared.
                By default where the scale lets it crash.
            processes: how many of which role; by default two each of `api`, `worker` and `scheduler`.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        async with contextlib.AsyncExitStack() as stack:
            redis_home = self.directory / "redis"
            redis_home.mkdir(exist_ok=True)
            redis = stack.enter_context(RedisServer(redis_home))
            own = self.scale.own_postgres if own_postgres is None else own_postgres
            postgres = stack.enter_context(postgres_server()) if own else None
            factory = Factory(
                databases=(lambda: postgres) if postgres else self.databases,  # type: ignore[arg-type,return-value]  # the server makes databases, too
                redis_url=lambda: redis.url,
            )
            p = await stack.enter_async_context(
                factory(modules, extra=extra, settings={**_SETTINGS, **(settings or {})}, seed=seed)
            )
            before_postgres = stack.enter_context(proxy(Address.of(p.database_url)))
            before_redis = stack.enter_context(proxy(Address.of(redis.url)))
            crew = Crew(self._environment(p, before_postgres, before_redis), self.directory)
            for role, count in (processes or {"api": 2, "worker": 2, "scheduler": 2}).items():
                crew.add(role, count)
            await stack.enter_async_context(crew.running())
            yield Rig(
                p,
                crew,
                before_postgres,
                before_redis,
                redis,
                postgres,
                self.directory,
                self.seed,
                self.scale,
                self.tell,
            )

    def _environment(self, p: RunningPlatform, postgres: Proxy, redis: Proxy) -> dict[str, str]:
        address = self.directory / "database_url"
        address.write_text(through(p.database_url, postgres.port), encoding="utf-8")
        return {
            **p.environment,
            "DATABASE_URL_FILE": str(address),
            "REDIS_URL": through(p.environment["REDIS_URL"], redis.port),
        }


def new_seed() -> int:
    """Return a seed that is short enough to be typed."""
    return secrets.randbelow(1_000_000)
