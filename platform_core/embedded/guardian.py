"""
The guardian: starts the servers, watches its owner, stops the servers.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path

from platform_core.embedded import directory
from platform_core.embedded.directory import Directory
from platform_core.embedded.lock import Lock
from platform_core.embedded.order import EmbeddedServiceError, Order
from platform_core.embedded.owner import Owner, OwnerGone
from platform_core.embedded.postgres import Postgres
from platform_core.embedded.processes import Processes
from platform_core.embedded.redis import start_redis


def guard(order: Order) -> int:
    """
    Be the guardian, from the start of the servers to the end of the last one.

    Returns: the exit code: 0 when they ran until the owner let go.
    """
    guardian = Guardian(order)
    try:
        _report(guardian.start())
        guardian.watch()
    except OwnerGone:
        return 1
    except EmbeddedServiceError as error:
        _report({"error": error.message})
        return 1
    except OSError as error:
        _report({"error": f"The servers in {order.data_dir} could not be started: {error}"})
        return 1
    finally:
        guardian.stop()
    return 0


class Guardian:
    """Starts, watches and stops what one order asks for; `stop` is right wherever `start` got to."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._owner = Owner(order.owner_pid)
        self._lock: Lock | None = None
        self._directory: Directory | None = None
        self._processes: Processes | None = None

    def start(self) -> dict[str, str | None]:
        """
        Bring everything up and return the report for the owner.

        Raises:
            EmbeddedServiceError: something did not start.
            OwnerGone: the owner did not wait for it.
        """
        order, data_dir = self._order, Path(self._order.data_dir)
        directory.make(data_dir)
        os.umask(0o077)
        self._lock = lock = Lock(order)
        lock.take(self._owner)
        self._directory = place = Directory(data_dir, lock)
        self._processes = processes = Processes(place, lock, self._owner)
        password = secrets.token_hex(16) if order.tcp else None
        report: dict[str, str | None] = {"database_url": None, "redis_url": None}
        # Redis is up while initdb still works, so one after the other costs nothing.
        redis = None
        if order.redis_program:
            redis = start_redis(processes, place, Path(order.redis_program), password, durable=order.durable)
        if order.postgres_bin:
            postgres = Postgres(processes, place, Path(order.postgres_bin), password, durable=order.durable)
            report["database_url"] = postgres.start()
        if redis:
            report["redis_url"] = redis()
        lock.tell("running", processes.pids)
        return {**report, "note": place.note}

    def watch(self) -> None:
        """Return when the owner is gone; say so when a server goes first."""
        assert self._processes is not None  # noqa: S101 - started before it is watched
        while not self._owner.is_gone(within_seconds=0.5):
            for server in self._processes.lost():
                _complain(f"The embedded {server.name} ended by itself: {server.ending()}")

    def stop(self) -> None:
        """Stop every server and return when the last one is gone."""
        if self._lock and self._lock.is_held:
            self._lock.tell("stopping", self._processes.pids if self._processes else ())
        if self._processes:
            self._processes.stop()
        if self._directory:
            self._directory.leave()


def _complain(message: str) -> None:
    with suppress(OSError):
        os.write(2, message.encode() + b"\n")


def _report(report: dict[str, str | None]) -> None:
    """Tell the owner, and leave standard output to nobody."""
    with suppress(BrokenPipeError):
        os.write(1, json.dumps(report).encode() + b"\n")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
