"""`platform serve`, `platform worker` and `platform scheduler`: the three production processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import platform_core._lean  # noqa: F401  # first, as everything else that they import imports structlog
from platform_core.cli._session import read_environment

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine
    from typing import Any

    from platform_core.app import Kernel
    from platform_core.serve import Lifetime

serve_app = typer.Typer(name="serve")
worker_app = typer.Typer(name="worker")
scheduler_app = typer.Typer(name="scheduler")

InternalPort = Annotated[
    int | None,
    typer.Option(
        min=1, max=65535, help="Port for /metrics and health details; PLATFORM_INTERNAL_PORT by default."
    ),
]


@serve_app.command(epilog="Example: platform serve --host 0.0.0.0 --port 8000 --workers 4")
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="How many processes share the port; one per core is plenty.")
    ] = 1,
    internal_port: InternalPort = None,
) -> None:
    """
    Answer HTTP requests. Ends in order at SIGTERM: nothing new is let in, what is in flight is finished.

    Of several workers, the nth has its metrics at the internal port + n.
    """
    from platform_core import serve as processes
    from platform_core._http_server import bind

    source = _source(internal_port)
    kernel = processes.load(source)
    listener = bind(host, port)
    flush = processes.configure(kernel.settings, source, "platform-api")
    try:
        if workers == 1:
            internal = processes.bind_internal(kernel.settings, kernel.settings.internal_port)
            processes.run(lambda lifetime: processes.api(kernel, listener, internal, lifetime))
        else:
            settings = kernel.settings
            crew = processes.Crew(
                listener, workers, source, settings.internal_port, settings.shutdown_grace_seconds
            )
            processes.run(crew.run)
    finally:
        flush()


@worker_app.command(epilog="Example: platform worker --concurrency 64")
def worker(
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="Deliveries worked on at once; PLATFORM_WORKER_CONCURRENCY by default."),
    ] = None,
    internal_port: InternalPort = None,
) -> None:
    """
    Handle events and jobs; run as many as you like.

    Ends in order at SIGTERM: what does not end in time is given back to the others. A worker whose event loop is stuck
    ends itself with exit code 70, so that a supervisor starts another.
    """
    from platform_core import serve as processes

    overrides = {} if concurrency is None else {"PLATFORM_WORKER_CONCURRENCY": str(concurrency)}
    _run("platform-worker", internal_port, overrides, processes.worker)


@scheduler_app.command(epilog="Example: platform scheduler")
def scheduler(internal_port: InternalPort = None) -> None:
    """Start what is due by the clock, keep the audit chain and tidy up; of several, one acts and the others wait."""
    from platform_core import serve as processes

    _run("platform-scheduler", internal_port, {}, processes.scheduler)


def _run(
    service: str,
    internal_port: int | None,
    overrides: dict[str, str],
    process: Callable[[Kernel, socket.socket | None, Lifetime], Coroutine[Any, Any, None]],
) -> None:
    from platform_core import serve as processes

    source = {**_source(internal_port), **overrides}
    kernel = processes.load(source)
    flush = processes.configure(kernel.settings, source, service)
    internal = processes.bind_internal(kernel.settings, kernel.settings.internal_port)
    try:
        processes.run(lambda lifetime: process(kernel, internal, lifetime))
    finally:
        flush()


def _source(internal_port: int | None) -> dict[str, str]:
    source = read_environment()
    return source if internal_port is None else {**source, "PLATFORM_INTERNAL_PORT": str(internal_port)}
