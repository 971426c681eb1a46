"""
The production processes: HTTP, worker, scheduler; each ends in order at SIGTERM, and `serve` may be several.

    platform serve --workers 3 ── owns ──► 3 × one process with an event loop each, on one shared port

Imported by `cli` and `dev`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog

from platform_core import _production, logs, tracing
from platform_core._http_server import App, HttpServer, bind, http_url, uvloop_factory
from platform_core._watchdog import watchdog
from platform_core.errors import InvalidSettings, StartupError, StartupFailed
from platform_core.settings import KernelSettings, read_settings

if TYPE_CHECKING:
    from platform_core.app import Kernel

logger = structlog.get_logger("platform_core.serve")

T = TypeVar("T")

STUCK_LEASES: Final = 3
"""A loop that is stuck for so many leases has lost its work to others already."""

_ANNOUNCE_AGAIN_SECONDS: Final = 5.0

_CHOICE: Final = ("PLATFORM_MODULES", "PLATFORM_MODULES_FILE")


def load(source: Mapping[str, str]) -> Kernel:
    """
    Return the kernel, assembled from the environment; nothing is connected yet.

    Raises:
        StartupFailed: everything that is wrong at once: settings, the installed set, values that production refuses.
    """
    from platform_core.app import Kernel

    found: list[StartupError] = []
    settings: KernelSettings | None = None
    try:
        settings = read_settings(source)
    except InvalidSettings as error:
        found.append(error)
    kernel: Kernel | None = None
    try:
        kernel = Kernel.load(settings or read_settings(_stand_in(source)), source, leaves_marks=True)
    except InvalidSettings:
        pass  # nobody knows which modules are meant, which is told already
    except StartupFailed as failed:
        found += [error for error in failed.exceptions if isinstance(error, StartupError)]
    if settings is not None:
        found += _production.problems(settings, source)
    if found or kernel is None:
        raise StartupFailed("The platform cannot start:", found)
    return kernel


def _stand_in(source: Mapping[str, str]) -> dict[str, str]:
    """Return kernel settings with which plugins can be checked although the real ones are wrong; never connected to."""
    stand_in = {"DATABASE_URL": "postgresql:///", "REDIS_URL": "redis://", "PLATFORM_SECRET_KEY": "-" * 32}
    return stand_in | {name: source[name] for name in _CHOICE if name in source}


def configure(settings: KernelSettings, source: Mapping[str, str], service: str) -> Callable[[], None]:
    """Set up logs and traces of this process; returns what flushes the traces at the end."""
    json = settings.log_format == "json" if settings.log_format else settings.environment != "development"
    logs.configure(level=settings.log_level, json=json)
    logs.conceal(source)
    if json:
        logs.capture_prints()
    provider = tracing.configure(service, source)
    return provider.shutdown if provider is not None else lambda: None


# ── life and end of a process ────────────────────────────────────────────────────────────────────


class Lifetime:
    """
    From the start of a process to SIGINT or SIGTERM; made inside its event loop.

    During the start a signal cancels; afterwards it asks for an orderly end, and a second one for a quick end.
    """

    def __init__(self) -> None:
        self._asked, self._hurried = asyncio.Event(), asyncio.Event()
        self._starting: asyncio.Task[Any] | None = asyncio.current_task()

    def started(self) -> None:
        """Tell that from now on there is something to end in order."""
        self._starting = None

    def end(self) -> None:
        """Do what a signal does."""
        if self._asked.is_set():
            self._hurried.set()
        self._asked.set()
        if self._starting is not None:
            self._starting.cancel()

    @property
    def is_ending(self) -> bool:
        return self._asked.is_set()

    async def asked_to_end(self) -> None:
        """Return when the first signal has come."""
        await self._asked.wait()

    async def hurried(self) -> None:
        """Return when the second signal has come."""
        await self._hurried.wait()


def run(main: Callable[[Lifetime], Coroutine[Any, Any, T]]) -> T | None:
    """
    Run a process's coroutine on a fast event loop until it ends.

    Returns: its result; None when a signal ended it before it had started.
    """

    async def supervised() -> T | None:
        lifetime = Lifetime()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, lifetime.end)
        try:
            return await main(lifetime)
        except asyncio.CancelledError:
            if lifetime.is_ending:
                return None
            raise

    gc.freeze()  # what was imported stays: the collector need not look at it again
    with asyncio.Runner(loop_factory=uvloop_factory()) as runner:
        return runner.run(supervised())


Part = tuple[str, Callable[[], Awaitable[None]], Callable[[], Awaitable[object]]]
"""Name, what runs for as long as the process, and what makes it end in order."""


async def run_parts(parts: list[Part], lifetime: Lifetime) -> None:
    """
    Run all parts until somebody asks for the end, or until one ends by itself, which ends the others too.

    Raises:
        BaseException: what the part that ended by itself raised.
    """
    tasks = [asyncio.create_task(_awaited(work), name=name) for name, work, _ in parts]
    asked = asyncio.create_task(lifetime.asked_to_end(), name="asked to end")
    await asyncio.wait([*tasks, asked], return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    for task in tasks:
        if task.done() and not lifetime.is_ending:
            logger.error("a part of the process ended by itself", part=task.get_name())
    stopping: asyncio.Future[list[Any]] = asyncio.gather(
        *(_awaited(stop) for _, _, stop in parts), *tasks, return_exceptions=True
    )
    hurried = asyncio.create_task(lifetime.hurried(), name="hurried")
    either: set[asyncio.Future[Any]] = {stopping, hurried}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()
    if not stopping.done():
        logger.warning("asked twice to end: leaving what is in flight to others")
        stopping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await stopping
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def _awaited(work: Callable[[], Awaitable[object]]) -> None:
    await work()


# ── the three processes ──────────────────────────────────────────────────────────────────────────


async def api(
    kernel: Kernel, listener: socket.socket, internal: socket.socket | None, lifetime: Lifetime
) -> None:
    """Answer HTTP requests until told to end; then let none in, and finish those in flight."""
    async with _started(kernel, lifetime):
        server = http_part(kernel, listener)
        logger.info("serving", url=http_url(listener))
        await run_parts([server, *_internal(kernel, internal, lifetime)], lifetime)


async def worker(kernel: Kernel, internal: socket.socket | None, lifetime: Lifetime) -> None:
    """Handle deliveries and jobs until told to end; then give back what does not end in time."""
    working = kernel.worker()
    async with _started(kernel, lifetime, listen=working.wake):
        logger.info("worker started", handlers_count=len(working.handlers))
        await run_parts(
            [("worker", working.run, stopping(working.stop)), *_internal(kernel, internal, lifetime)],
            lifetime,
        )


async def scheduler(kernel: Kernel, internal: socket.socket | None, lifetime: Lifetime) -> None:
    """Put due ticks into the job table while no other scheduler does."""
    ticking = kernel.scheduler()
    async with _started(kernel, lifetime):
        logger.info("scheduler started")
        await run_parts(
            [("scheduler", ticking.run, stopping(ticking.stop)), *_internal(kernel, internal, lifetime)],
            lifetime,
        )


@contextlib.asynccontextmanager
async def _started(
    kernel: Kernel, lifetime: Lifetime, listen: Callable[[], None] | None = None
) -> AsyncIterator[None]:
    settings = kernel.settings
    async with kernel.running(listen=listen), watchdog(settings.lease_seconds * STUCK_LEASES, kernel.metrics):
        announcing = asyncio.create_task(announce(kernel), name="announce")
        lifetime.started()
        try:
            yield
        finally:
            announcing.cancel()


async def announce(kernel: Kernel) -> None:
    """Make this build's handlers known; with the tables not there yet, or the database away, later."""
    while True:
        try:
            await kernel.announce()
            return
        except Exception as error:  # noqa: BLE001  # whatever stands in the way now, it is tried again
            logger.warning("handlers not announced yet; it is repeated", error=type(error).__name__)
            await asyncio.sleep(_ANNOUNCE_AGAIN_SECONDS)


def http_part(kernel: Kernel, listener: socket.socket) -> Part:
    """Return the API as a part of a process; its services are started and stopped by the caller."""
    from platform_core.http.traffic import Traffic

    traffic = Traffic()
    server = HttpServer(kernel.app(traffic), listener)

    async def stop() -> None:
        if left := await traffic.drain(kernel.settings.shutdown_grace_seconds):
            logger.warning("requests cut off after the grace period", count=left)
        server.stop()

    return "http", server.run_until_told, stop


def stopping(stop: Callable[[], None]) -> Callable[[], Awaitable[object]]:
    """Return a plain function as one that can be awaited."""

    async def awaited() -> None:
        stop()

    return awaited


def bind_internal(settings: KernelSettings, port: int | None) -> socket.socket | None:
    """Take the port for metrics and health details, where one is wanted; raises as `bind` does."""
    if port is None:
        return None
    return bind(settings.internal_host, port, option="PLATFORM_INTERNAL_PORT")


def _internal(kernel: Kernel, listener: socket.socket | None, lifetime: Lifetime) -> list[Part]:
    """Return the server of metrics and health details, where a port was given for it."""
    if listener is None:
        return []
    from starlette.applications import Starlette

    from platform_core._health import routes

    logger.info("metrics and health details", url=http_url(listener))
    return [
        side_part(
            "internal", Starlette(routes=routes(kernel, lambda: lifetime.is_ending, details=True)), listener
        )
    ]


def side_part(name: str, app: App, listener: socket.socket) -> Part:
    """Return a small HTTP server beside the API as a part of a process."""
    server = HttpServer(app, listener)
    return name, server.run_until_told, stopping(server.stop)


# ── several HTTP processes on one port ───────────────────────────────────────────────────────────

_SHORT_LIFE_SECONDS: Final = 10.0
_LONGEST_PAUSE_SECONDS: Final = 30.0
_ORDERLY_END_SECONDS: Final = 10.0
"""What a process may take beyond the grace for its requests: closing pools, flushing traces."""


class Crew:
    """
    Several processes that answer on one port; one that dies is replaced.

    Each holds the read end of a pipe of ours: should this process be killed, they notice and end too.

    Args:
        listener: bound and shared.
        count: of processes; the nth has `internal_port + n` for its metrics.
        variables: their environment.
    """

    def __init__(
        self,
        listener: socket.socket,
        count: int,
        variables: Mapping[str, str],
        internal_port: int | None,
        grace_seconds: float,
    ) -> None:
        self._listener, self._count, self._variables = listener, count, dict(variables)
        self._internal_port, self._grace_seconds = internal_port, grace_seconds
        self._leash, self._held = os.pipe()

    async def run(self, lifetime: Lifetime) -> None:
        """Keep all of them alive until told to end."""
        lifetime.started()
        try:
            async with asyncio.TaskGroup() as group:
                for index in range(self._count):
                    group.create_task(self._keep(index, lifetime), name=f"process {index}")
        finally:
            os.close(self._held)
            os.close(self._leash)
            self._listener.close()

    async def _keep(self, index: int, lifetime: Lifetime) -> None:
        pause = 0.5
        while not lifetime.is_ending:
            loop = asyncio.get_running_loop()
            born = loop.time()
            process = await self._spawn(index)
            if await self._until_end(process, lifetime):
                return
            lived = loop.time() - born
            pause = 0.5 if lived > _SHORT_LIFE_SECONDS else min(pause * 2, _LONGEST_PAUSE_SECONDS)
            logger.error(
                "a process died and is replaced",
                index=index,
                exit_code=process.returncode,
                pause_seconds=pause,
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(lifetime.asked_to_end(), pause)

    async def _spawn(self, index: int) -> asyncio.subprocess.Process:
        port = str(self._internal_port + index) if self._internal_port is not None else ""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "platform_core.serve",
            str(self._listener.fileno()),
            str(self._leash),
            port,
            pass_fds=(self._listener.fileno(), self._leash),
            env=self._variables,
            start_new_session=True,  # Ctrl-C reaches a whole group; here the parent tells who ends when
        )

    async def _until_end(self, process: asyncio.subprocess.Process, lifetime: Lifetime) -> bool:
        """Wait for a process; tells whether it ended because it was told to."""
        gone = asyncio.create_task(process.wait())
        asked = asyncio.create_task(lifetime.asked_to_end())
        await asyncio.wait([gone, asked], return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if gone.done():
            return False
        process.terminate()
        hurried = asyncio.create_task(lifetime.hurried())
        try:
            async with asyncio.timeout(self._grace_seconds + _ORDERLY_END_SECONDS):
                await asyncio.wait([gone, hurried], return_when=asyncio.FIRST_COMPLETED)
                if not gone.done():
                    process.terminate()  # twice means the same to it as to us
                await asyncio.shield(gone)
        except TimeoutError:
            logger.error("a process does not end and is killed", pid=process.pid)
            process.kill()
            await gone
        finally:
            hurried.cancel()
        return True


def _member(listener_fd: int, leash_fd: int, internal_port: int | None) -> None:
    """Be one of a crew."""
    from platform_core.settings import environment

    source = environment()
    kernel = load(source)
    flush = configure(kernel.settings, source, "platform-api")
    internal = bind_internal(kernel.settings, internal_port)
    listener = socket.socket(fileno=listener_fd)

    async def main(lifetime: Lifetime) -> None:
        end_with_parent(leash_fd, lifetime)
        await api(kernel, listener, internal, lifetime)

    try:
        run(main)
    finally:
        flush()


def end_with_parent(leash_fd: int, lifetime: Lifetime) -> None:
    """End in order when the process is gone that holds the other end of a pipe; nobody writes into it."""
    loop = asyncio.get_running_loop()

    def gone() -> None:
        loop.remove_reader(leash_fd)
        lifetime.end()

    loop.add_reader(leash_fd, gone)


if __name__ == "__main__":
    _member(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if sys.argv[3] else None)
