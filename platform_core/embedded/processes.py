"""
The servers as child processes: started as the right account, waited for, told when lost, stopped.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from platform_core.embedded.directory import Directory
from platform_core.embedded.lock import Lock
from platform_core.embedded.order import EmbeddedServiceError
from platform_core.embedded.owner import Owner

START_TIMEOUT_SECONDS: Final = 120
"""Recovery after a crash reads the log of changes again, so this is far more than a start takes."""

STOP_TIMEOUT_SECONDS: Final = 20
"""How long a server may take to stop by itself before it is told more firmly."""


@dataclass
class Server:
    """
    One running program.

    Attributes:
        name: for messages.
        process: the child.
        log: where it writes.
        stop_signals: from polite to firm.
        lost: whether its unexpected end was already reported.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    stop_signals: tuple[signal.Signals, ...]
    lost: bool = False

    def ending(self) -> str:
        """Say how the process ended, with the end of its log."""
        with suppress(OSError):
            lines = self.log.read_text(errors="replace").splitlines()[-15:]
            return "\n".join([f"exit code {self.process.returncode}; {self.log} ends with:", *lines])
        return f"exit code {self.process.returncode}"


class Processes:
    """Everything that the guardian started and has to stop."""

    def __init__(self, directory: Directory, lock: Lock, owner: Owner) -> None:
        self._directory, self._lock, self._owner = directory, lock, owner
        self._servers: list[Server] = []

    @property
    def pids(self) -> list[int]:
        """Of the servers."""
        return [server.process.pid for server in self._servers]

    def serve(
        self, name: str, command: list[str], *stop_signals: signal.Signals, config: str | None = None
    ) -> Server:
        """
        Start a server whose output goes to its log.

        Args:
            stop_signals: from polite to firm; the first is also what it gets if the guardian is killed.
            config: written to its standard input.
        """
        log = self._directory.log(name)
        with log.open("wb") as output:
            process = self._spawn(command, output, stop_signals[0], talks=config is not None)
        if account := self._directory.account:
            os.chown(log, account.pw_uid, account.pw_gid)
        server = Server(name, process, log, stop_signals)
        self._servers.append(server)
        if config is not None and process.stdin is not None:
            with suppress(BrokenPipeError), process.stdin as pipe:  # it died at once: its log says why
                pipe.write(config.encode())
        return server

    def wait_until(self, ready: Callable[[], bool], server: Server) -> None:
        """
        Return when a server is ready.

        Raises:
            EmbeddedServiceError: it ended, or takes too long.
            OwnerGone: while waiting.
        """
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not ready():
            if server.process.poll() is not None:
                raise EmbeddedServiceError(f"The embedded {server.name} did not start: {server.ending()}")
            if time.monotonic() > deadline:
                raise EmbeddedServiceError(
                    f"The embedded {server.name} is still not ready: {server.ending()}"
                )
            self._owner.wait(0.005)

    def run_as_server(self, name: str, command: list[str]) -> None:
        """Run a program that works for a while to its end: it can be waited for, and stopped, as a server can."""
        server = self.serve(name, command, signal.SIGTERM)
        self.wait_until(lambda: server.process.poll() == 0, server)
        self._servers.remove(server)

    def run(self, command: list[str], text: str = "") -> None:
        """Run a program to its end, feeding it `text`."""
        process = self._spawn(command, subprocess.PIPE, signal.SIGTERM, talks=True)
        try:
            output, _ = process.communicate(text.encode(), timeout=START_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        if process.returncode:
            said = output.decode(errors="replace").strip()
            raise EmbeddedServiceError(f"{Path(command[0]).name} failed ({process.returncode}):\n{said}")

    def lost(self) -> list[Server]:
        """Return the servers that ended by themselves, each one once."""
        ended = [server for server in self._servers if not server.lost and server.process.poll() is not None]
        for server in ended:
            server.lost = True
        return ended

    def stop(self) -> None:
        """Stop every server, all at once, and return when the last one is gone."""
        for server in self._servers:
            server.process.send_signal(server.stop_signals[0])
        for server in self._servers:
            for number in (*server.stop_signals[1:], signal.SIGKILL):
                with suppress(subprocess.TimeoutExpired):
                    server.process.wait(STOP_TIMEOUT_SECONDS)
                    break
                server.process.send_signal(number)
            server.process.wait()

    def _spawn(
        self, command: list[str], output: IO[bytes] | int, dies_by: signal.Signals, *, talks: bool = False
    ) -> subprocess.Popen[bytes]:
        identity: dict[str, Any] = {}
        if account := self._directory.account:
            identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        return subprocess.Popen(  # noqa: S603 - programs found by us, arguments made by us
            command,
            cwd=self._directory.home,
            # Not the owner's environment: PGPORT, PGOPTIONS or TZ there must not change the servers here.
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(self._lock.descriptor,),  # the lock is free when the last server is gone
            preexec_fn=_dying_with_parent(dies_by),  # noqa: PLW1509 - the guardian has one thread
            **identity,
        )


def _dying_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Return what a child does first, so that the kernel signals it if the guardian is killed; Linux only."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork
    pr_set_pdeathsig = 1
    return lambda: prctl(pr_set_pdeathsig, int(number))
