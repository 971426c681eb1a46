"""
Processes of the platform that are forked instead of started; private to the test kit.

The subject of most tests that run a process is what the process does, not that Python can import it: those take
`run_platform`. A few of each kind stay real starts (`run_process`), as proof that the program can be started at all.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from platform_core.testing._nursery import Order
from platform_core.testing._processes import ProcessProblem, RunningProcess


class RunPlatform(Protocol):
    """The type of the fixture `run_platform`, for annotations."""

    def __call__(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ready: str | None = None,
        timeout_seconds: float = 30,
        errors: Path | None = None,
        program: Path | None = None,
    ) -> contextlib.AbstractContextManager[RunningProcess]:
        """
        Run `platform ARGUMENTS` for the length of the block, and leave none of its children behind.

        Args:
            env: added to the environment of the tests.
            ready: a regular expression; the block begins when a line of the output matches it.
            timeout_seconds: for getting ready.
            errors: a file for its standard error, which is part of the output by default.
            program: a script to run instead of the command line.

        Raises:
            ProcessProblem: it did not get ready.
        """
        ...


class Nursery:
    """
    The side of a test: has processes born, and the nursery itself when the first is asked for.

    Args:
        directory: for the nursery's log.
        environment: of the platform whose modules are imported in advance; added to that of the tests.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._log = directory / "nursery.log"
        self._environment = environment
        self._stack = contextlib.ExitStack()

    @functools.cached_property
    def path(self) -> str:
        """Where orders are taken; the first call starts it, and it answers once everything is imported."""
        # the path of a socket may have 107 characters only, and a test's directory often has more
        shelter = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="platform-nursery-"))
        path = f"{shelter}/s"
        owner, far_end = socket.socketpair()
        with socket.socket(socket.AF_UNIX) as listener, far_end, self._log.open("wb") as log:
            listener.bind(path)
            listener.listen()
            descriptors = (listener.fileno(), far_end.fileno())
            process = subprocess.Popen(  # noqa: S603  # constants and two numbers
                [sys.executable, "-m", "platform_core.testing._nursery", *map(str, descriptors)],
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self._environment},
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._stack.callback(process.wait, 30)
        self._stack.callback(owner.close)
        return path

    def close(self) -> None:
        """End it, and with it whatever it bore."""
        self._stack.close()

    @contextlib.contextmanager
    def run(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ready: str | None = None,
        timeout_seconds: float = 30,
        errors: Path | None = None,
        program: Path | None = None,
    ) -> Iterator[RunningProcess]:
        """Be what `RunPlatform` describes."""
        with tempfile.TemporaryDirectory(prefix="platform-process-", ignore_cleanup_errors=True) as directory:
            output = Path(directory) / "output"
            output.touch()
            order: Order = {
                "arguments": list(arguments),
                "environment": {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                "directory": str(cwd or Path.cwd()),
                "output": str(output),
                "errors": str(errors) if errors else None,
                "program": str(program) if program else None,
            }
            with contextlib.closing(self._born(order)) as process:
                running = RunningProcess(process, output, ["platform", *arguments])
                if ready is not None:
                    running.wait_for_line(ready, timeout_seconds=timeout_seconds)
                yield running

    def _born(self, order: Order) -> Forked:
        try:
            return Forked(self.path, order)
        except (OSError, ValueError) as error:
            log = self._log.read_text(errors="replace")[-2000:]
            raise ProcessProblem(f"no process was born ({error}); the nursery wrote:\n{log}") from error


class Forked:
    """A process that a nursery bore, waited for like one of `subprocess`."""

    def __init__(self, path: str, order: Order) -> None:
        self._lock = threading.Lock()
        self._connection = socket.socket(socket.AF_UNIX)
        try:
            self._connection.connect(path)
            self._connection.sendall(json.dumps(order).encode() + b"\n")
            self._reader = self._connection.makefile("rb", buffering=0)
            self.pid: int = json.loads(self._reader.readline())["pid"]
        except BaseException:
            self._connection.close()
            raise
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, None while it runs; negative when a signal ended it."""
        return self._told(within_seconds=0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit code; raises `subprocess.TimeoutExpired`."""
        status = self._told(within_seconds=timeout)
        if status is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return status

    def close(self) -> None:
        """Kill it and what is left of its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait(10)
        self._reader.close()
        self._connection.close()

    def _told(self, within_seconds: float | None) -> int | None:
        with self._lock:
            if self._status is None and select.select([self._connection], [], [], within_seconds)[0]:
                line = self._reader.readline()
                # with the nursery everything it bore is gone
                self._status = json.loads(line)["status"] if line else -9
            return self._status
