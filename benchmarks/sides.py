"""The programs that are measured beside each other, one server process each, all running at once."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.ground import Ground
from platform_core.testing import RunningProcess, run_process

FLOOR: Final = "floor"
OURS: Final = "platform"
PEERS: Final = {
    "SQLAlchemy Core by hand": "benchmarks.peers.core:app",
    "SQLAlchemy ORM by hand": "benchmarks.peers.orm:app",
}
CORE, ORM = PEERS
ALL_SIDES: Final = (FLOOR, CORE, ORM, OURS)


@dataclass(frozen=True, slots=True)
class Side:
    """
    One running program.

    Attributes:
        prefix: goes before every path.
    """

    name: str
    port: int
    process: RunningProcess
    prefix: str = ""

    @property
    def is_ours(self) -> bool:
        return self.name == OURS


@contextlib.contextmanager
def running(ground: Ground, names: Sequence[str]) -> Iterator[list[Side]]:
    """Run programs for the length of the block."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(ours(ground) if name == OURS else _by_hand(ground, name)) for name in names
        ]


@contextlib.contextmanager
def ours(ground: Ground, *, workers: int = 1) -> Iterator[Side]:
    """Run `platform serve` with so many processes."""
    port = free_port()
    command = ["platform", "serve", "--port", str(port), "--internal-port", str(free_port())]
    if workers > 1:
        command += ["--workers", str(workers)]
    with run_process(command, env=ground.environment) as process:
        process.wait_for_url(f"http://127.0.0.1:{port}/health/ready")
        yield Side(OURS, port, process, "/api/v1")


@contextlib.contextmanager
def _by_hand(ground: Ground, name: str) -> Iterator[Side]:
    port = free_port()
    application = PEERS.get(name, "benchmarks.floor.api:app")
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        application,
        "--port",
        str(port),
        "--no-access-log",
    ]
    command += ["--loop", "uvloop", "--http", "httptools", "--log-level", "warning"]
    with run_process(command, env=ground.floor_environment) as process:
        process.wait_for_url(f"http://127.0.0.1:{port}/ready")
        yield Side(name, port, process)


@contextlib.contextmanager
def sinks() -> Iterator[tuple[int, int]]:
    """Run the mail server and the trace collector; yields their ports."""
    smtp, otlp = free_port(), free_port()
    with run_process([sys.executable, "-m", "benchmarks.sinks", str(smtp), str(otlp)], ready="ready"):
        yield smtp, otlp


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
