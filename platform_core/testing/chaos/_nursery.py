"""
Where processes are born: one interpreter that has imported everything and forks; private to the test kit.

A start costs seconds, nearly all of them imports, and chaos kills a process every second. What is forked runs the
shipped command line from its first line on; only the imports are already done.

    test ──unix socket──► nursery ── fork ──► platform serve, worker, scheduler

One JSON object a line: {"arguments", "environment", "log"} is answered by {"pid"}; {"ended", "status"} tells of an end.
When the test's end of the socket is closed, however that came about, every child is killed.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import random
import select
import signal
import socket
import sys
from typing import Any

_IMPORTED_LATE = (
    "platform_core.cli.processes",
    "uvloop",
    "uvicorn.protocols.http.httptools_impl",
    "redis.asyncio",
)
"""What processes import only once they run."""

_REAP_SECONDS = 0.05


def main(path: str) -> None:
    """Serve one test, from its first connection to its end."""
    _import_everything()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        print("nursery ready", flush=True)  # noqa: T201  # what the test waits for
        control, _ = listener.accept()
    _Nursery(control).run()


def _import_everything() -> None:
    """Assemble the platform once and forget it: what stays is what was imported, plugins included."""
    with contextlib.suppress(Exception):  # what is wrong is the platform's to report, in its own process
        from platform_core.http.traffic import Traffic
        from platform_core.serve import load

        load(dict(os.environ)).app(Traffic())
        for name in _IMPORTED_LATE:
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


class _Nursery:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: set[int] = set()

    def run(self) -> None:
        unread = b""
        try:
            while True:
                readable, _, _ = select.select([self._control], [], [], _REAP_SECONDS)
                self._reap()
                if not readable:
                    continue
                received = self._control.recv(65_536)
                if not received:
                    return
                *lines, unread = (unread + received).split(b"\n")
                for line in lines:
                    self._tell({"pid": self._bear(json.loads(line))})
        except OSError:
            return  # the test is gone
        finally:
            for pid in self._children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _bear(self, order: dict[str, Any]) -> int:
        pid = os.fork()
        if pid == 0:
            self._control.close()
            _live(order)
        self._children.add(pid)
        return pid

    def _reap(self) -> None:
        for pid in list(self._children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._children.discard(pid)
                self._tell({"ended": pid, "status": os.waitstatus_to_exitcode(status)})

    def _tell(self, message: dict[str, Any]) -> None:
        self._control.sendall(json.dumps(message).encode() + b"\n")


def _live(order: dict[str, Any]) -> None:
    """Be the process that was asked for; never returns."""
    code = 70
    try:
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        os.environ.clear()
        os.environ.update(order["environment"])
        sys.argv = ["platform", *order["arguments"]]
        random.seed()  # siblings must not all throw the same dice
        from platform_core.cli import main as command_line

        command_line(order["arguments"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1])
