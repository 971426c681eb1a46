"""
Where processes are born: an interpreter that has imported everything and forks; a program of the test kit's own.

A start costs seconds, nearly all of them imports. What is forked runs the shipped command line from its first line
on, in a session, a directory and an environment of its own; only the imports are already done.

    test ── one connection per process ──► nursery ── fork ──► platform serve, worker, db upgrade …

The test says one JSON object in a line (`Order`); the newborn answers {"pid"}, and the nursery tells {"status"} when it
has ended, negative after a signal. Whatever of its group still lives when the test closes the connection is killed,
and all of them, and the nursery itself, when the test's process is gone, however that came about.

The other side of the wire: `_forks` for blocking tests, `chaos._crew` for asyncio.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import sys
import tempfile
import threading
from typing import NoReturn, TypedDict

_IMPORTED_LATE = (
    "platform_core.cli.processes",
    "platform_core.cli._session",
    "platform_core._development",
    "platform_core._seeds",
    "uvloop",
    "uvicorn.protocols.http.httptools_impl",
    "redis.asyncio",
)
"""What processes import only once they run."""

_REAP_SECONDS = 0.02


class Order(TypedDict):
    """
    What a process is to be.

    Attributes:
        arguments: of the command line, without the program's name.
        environment: all of it; of what the interpreter itself reads only PYTHONPATH counts.
        directory: where it works; that of the tests by default.
        output: a file, for what it writes.
        errors: a file, for its standard error; in `output` as well by default.
        program: a script to run instead of the command line.
    """

    arguments: list[str]
    environment: dict[str, str]
    directory: str | None
    output: str
    errors: str | None
    program: str | None


def main(listener: socket.socket, owner: socket.socket) -> None:
    """Serve one test run until its end of `owner` is closed."""
    _import_everything()
    _Nursery(listener, owner).run()


def _import_everything() -> None:
    """Assemble the platform once and forget it: what stays is what was imported, plugins included."""
    with contextlib.suppress(Exception):  # what is wrong is the platform's to report, in its own process
        for name in _IMPORTED_LATE:
            importlib.import_module(name)
        from platform_core.http.traffic import Traffic
        from platform_core.serve import load

        load(dict(os.environ)).app(Traffic())
    gc.collect()
    gc.freeze()


class _Nursery:
    def __init__(self, listener: socket.socket, owner: socket.socket) -> None:
        self._listener, self._owner = listener, owner
        self._alive: set[int] = set()
        self._asked_by: dict[socket.socket, int] = {}

    def run(self) -> None:
        try:
            while True:
                watched = [self._owner, self._listener, *self._asked_by]
                patience = _REAP_SECONDS if self._alive else None
                readable, _, _ = select.select(watched, [], [], patience)
                self._reap()
                for ready in readable:
                    if ready is self._owner:
                        return
                    if ready is self._listener:
                        self._bear(self._listener.accept()[0])
                    else:  # nobody says anything after the order: it is closed
                        self._end(ready)
        finally:
            for asked in list(self._asked_by):
                self._end(asked)

    def _bear(self, asked: socket.socket) -> None:
        with asked.makefile("rb") as reader:
            line = reader.readline()
        if not line:
            asked.close()
            return
        pid = os.fork()
        if pid == 0:
            for inherited in (self._owner, self._listener, *self._asked_by):
                inherited.close()
            _live(json.loads(line), asked)
        self._alive.add(pid)
        self._asked_by[asked] = pid

    def _reap(self) -> None:
        for asked, pid in self._asked_by.items():
            if pid in self._alive and (ended := os.waitpid(pid, os.WNOHANG))[0]:
                self._alive.discard(pid)
                with contextlib.suppress(OSError):  # who asked is gone, too
                    _tell(asked, status=os.waitstatus_to_exitcode(ended[1]))

    def _end(self, asked: socket.socket) -> None:
        pid = self._asked_by.pop(asked)
        asked.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        if pid in self._alive:
            os.waitpid(pid, 0)
            self._alive.discard(pid)


def _tell(asked: socket.socket, **message: int) -> None:
    asked.sendall(json.dumps(message).encode() + b"\n")


def _live(order: Order, asked: socket.socket) -> NoReturn:
    """Be the process that was asked for."""
    code = 70
    try:
        os.setsid()
        _tell(asked, pid=os.getpid())  # only now: whoever knows it may kill the whole group
        asked.close()
        _settle(order)
        code = _run(order)
    except BaseException:  # noqa: BLE001  # as an interpreter does with what nobody caught
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        with contextlib.suppress(BaseException):  # as at an interpreter's end: threads are awaited, then this
            threading._shutdown()  # type: ignore[attr-defined]  # what multiprocessing's forks do, too
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _settle(order: Order) -> None:
    output = _opened(order["output"])
    errors = output if order["errors"] is None else _opened(order["errors"])
    os.dup2(output, 1)
    os.dup2(errors, 2)
    for descriptor in {output, errors}:
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(order["environment"])
    if order["directory"] is not None:
        os.chdir(order["directory"])
    added = [
        path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in ("", *sys.path)
    ]
    sys.path[:0] = added
    importlib.invalidate_caches()
    sys.argv = [order["program"] or "platform", *order["arguments"]]
    random.seed()  # siblings must not all throw the same dice
    tempfile.tempdir = None  # remembered by whoever asked first


def _opened(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _run(order: Order) -> int:
    """Return the exit code."""
    try:
        if order["program"] is not None:
            runpy.run_path(order["program"], run_name="__main__")
        else:
            from platform_core.cli import main as command_line

            command_line(order["arguments"])
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    main(*(socket.socket(fileno=int(descriptor)) for descriptor in sys.argv[1:]))
