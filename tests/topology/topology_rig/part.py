"""A server or process of the topology that can be killed and started again under the same address."""

from __future__ import annotations

import contextlib
import pwd
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from platform_core.testing import RunningProcess, run_process

PATIENCE_SECONDS = 300.0
"""For one start; machines that run other things besides take their time."""


class Part:
    """
    One place of the topology, whoever has it just now.

    Args:
        name: how figures and messages call it.
        command: what runs; it stays in the foreground.
        ready: a regular expression for its output, or what tells whether it answers.
        environment: on top of the tests'.
        directory: where it runs.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        ready: str | Callable[[], bool],
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        self.name, self.command, self.environment = name, list(command), dict(environment or {})
        self._ready, self._directory = ready, directory
        self._stack = contextlib.ExitStack()
        self._process: RunningProcess | None = None

    @property
    def process(self) -> RunningProcess:
        assert self._process is not None, f"{self.name} is down"
        return self._process

    @property
    def is_up(self) -> bool:
        return self._process is not None

    def start(self) -> float:
        """Start it and wait until it is ready; returns the seconds that took."""
        began = time.monotonic()
        self.begin()
        self.wait_until_ready()
        return time.monotonic() - began

    def begin(self) -> None:
        """Start it without waiting, so that several come up at once."""
        assert self._process is None, f"{self.name} runs already"
        running = run_process(self.command, env=self.environment, cwd=self._directory)
        self._process = self._stack.enter_context(running)

    def wait_until_ready(self) -> None:
        """Return once it is ready."""
        if isinstance(self._ready, str):
            self.process.wait_for_line(self._ready, timeout_seconds=PATIENCE_SECONDS)
        else:
            self._wait_until(self._ready)

    def kill(self) -> None:
        """`kill -9`, with everything that it started."""
        self.process.kill(group=True)
        self._forget()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, wait, and return its exit code."""
        self.process.signal(number)
        code = self.process.wait(timeout_seconds=PATIENCE_SECONDS)
        self._forget()
        return code

    def close(self) -> None:
        """Leave nothing of it behind."""
        self._forget()

    def _forget(self) -> None:
        self._process = None
        self._stack.close()

    def _wait_until(self, done: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while not done():
            code, output = self.process.exit_code, self.process.output[-3000:]
            assert code is None, f"{self.name} ended with {code}:\n{output}"
            assert time.monotonic() < until, f"{self.name} does not answer:\n{output}"
            time.sleep(0.05)


def listens(port: int) -> Callable[[], bool]:
    """Return what tells whether somebody takes connections on a port of this machine."""

    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    return answers


def as_account(name: str, command: Sequence[str]) -> list[str]:
    """Return the command as root has it run by another account; PostgreSQL refuses to be root."""
    account = pwd.getpwnam(name)
    return [
        "setpriv",
        f"--reuid={account.pw_uid}",
        f"--regid={account.pw_gid}",
        "--clear-groups",
        *command,
    ]
