"""Real processes of the platform, to be killed in every way; private to the test kit."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from platform_core.errors import OperationError

_POLL_SECONDS = 0.02


class ProcessProblem(OperationError):
    """A process ended early or did not do in time what the test waited for."""


class Waitable(Protocol):
    """What is needed of a process: one of `subprocess`, or a forked one."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...


class RunningProcess:
    """
    One process and everything it started.

    Attributes:
        pid: of the process itself; its group has the same number.
    """

    def __init__(self, process: Waitable, log: Path, command: Sequence[str]) -> None:
        self._process, self._log, self._command = process, log, " ".join(command)
        self.pid = process.pid

    @property
    def output(self) -> str:
        """Everything that it wrote so far, standard error included."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.poll()

    def wait_for_line(self, pattern: str, *, timeout_seconds: float = 30) -> re.Match[str]:
        """
        Wait until a line of the output matches the regular expression.

        Raises:
            ProcessProblem: it ended before, or the time is over; the output's end is in the message.
        """
        compiled = re.compile(pattern, re.MULTILINE)
        for _ in self._patiently(f"no line matches {pattern!r}", timeout_seconds):
            if match := compiled.search(self.output):
                return match
        raise AssertionError("unreachable")

    def wait_for_url(self, url: str, *, timeout_seconds: float = 30) -> bytes:
        """Wait until a GET of `url` answers 2xx and return the body; raises as `wait_for_line` does."""
        for _ in self._patiently(f"{url} does not answer", timeout_seconds):
            with (
                contextlib.suppress(OSError, urllib.error.URLError),
                urllib.request.urlopen(url, timeout=2) as answer,  # noqa: S310  # an address of the test's own
            ):
                body: bytes = answer.read()
                return body
        raise AssertionError("unreachable")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def terminate(self, *, timeout_seconds: float = 30) -> int:
        """Ask it to end (SIGTERM), wait, and return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout_seconds=timeout_seconds)

    def kill(self, *, group: bool = False) -> None:
        """
        `kill -9`, and wait until it is gone.

        Args:
            group: its children too; without it they are left to themselves, as in real life, until the block ends.
        """
        if group:
            self.kill_group()
        else:
            self.signal(signal.SIGKILL)
        self._process.wait(10)

    def kill_group(self) -> None:
        """`kill -9` to the process and to everything it started, whether it still runs itself or not."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def wait(self, *, timeout_seconds: float = 30) -> int:
        """
        Wait for its end and return the exit code.

        Raises:
            ProcessProblem: it still runs when the time is over.
        """
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired as error:
            raise self._problem(f"it still runs after {timeout_seconds:g} s") from error

    def _patiently(self, problem: str, timeout_seconds: float) -> Iterator[None]:
        end = time.monotonic() + timeout_seconds
        while True:
            ended = self.exit_code is not None  # looked at first: what it wrote last still counts
            yield
            if ended:
                raise self._problem(f"{problem}, and it ended with {self.exit_code}")
            if time.monotonic() > end:
                raise self._problem(f"{problem} within {timeout_seconds:g} s")
            time.sleep(_POLL_SECONDS)

    def _problem(self, what: str) -> ProcessProblem:
        tail = "\n".join(self.output.splitlines()[-40:])
        return ProcessProblem(f"{self._command}: {what}. Its output ends with:\n{tail}")


@contextlib.contextmanager
def run_process(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    ready: str | None = None,
    timeout_seconds: float = 30,
) -> Iterator[RunningProcess]:
    """
    Run a program for the length of the block, and leave none of its children behind.

    Example:
        with run_process(["platform", "worker"], env=p.environment, ready="worker started") as worker:
            worker.kill()

    Args:
        command: `platform` is run with this very interpreter, so that the tests' environment is used.
        env: added to the environment of the tests.
        ready: a regular expression; the block begins when a line of the output matches it.
        timeout_seconds: for getting ready.

    Raises:
        ProcessProblem: it did not get ready.
    """
    with tempfile.TemporaryDirectory(prefix="platform-process-", ignore_cleanup_errors=True) as directory:
        log = Path(directory) / "output"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603  # the command is the test's own
                _resolved(command),
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running = RunningProcess(process, log, command)
        try:
            with watched(process.pid):
                if ready is not None:
                    running.wait_for_line(ready, timeout_seconds=timeout_seconds)
                yield running
        finally:
            running.kill_group()
            process.wait(10)


def _resolved(command: Sequence[str]) -> list[str]:
    if command[0] == "platform":
        return [sys.executable, "-c", "from platform_core.cli import main; main()", *command[1:]]
    return list(command)


@contextlib.contextmanager
def watched(group: int) -> Iterator[None]:
    """
    See to it that the group ends when this process does, killed or not.

    A shell waits for the end of the pipe that only we hold; the operating system closes it whichever way we end.
    """
    watcher = subprocess.Popen(  # noqa: S603  # a constant and a number
        ["/bin/sh", "-c", 'cat >/dev/null; kill -9 -"$0"', str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert watcher.stdin is not None
    try:
        yield
    finally:
        watcher.kill()
        watcher.wait()
        watcher.stdin.close()
