"""What importing the module does beside defining things."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final

from platform_core._conformance.grades import Finding
from platform_core._conformance.ground import Ground
from platform_core._conformance.subject import Subject
from platform_core._deadline import PluginHung, deadline
from platform_core._environment import environment

_LATER: Final = ("migrations", "testing", "tests", "__main__")
"""Rooms that no start imports."""

_EFFECTS: Final = {
    "socket.connect": "it opens a connection",
    "socket.bind": "it opens a port",
    "socket.getaddrinfo": "it asks for an address",
    "subprocess.Popen": "it starts a process",
    "os.system": "it starts a process",
    "os.posix_spawn": "it starts a process",
    "os.fork": "it forks",
    "os.mkdir": "it makes a folder",
    "os.remove": "it removes a file",
    "os.rmdir": "it removes a folder",
    "os.rename": "it moves a file",
    "os.chdir": "it changes the working directory",
    "sqlite3.connect": "it opens a database",
}
_SECONDS: Final = 240
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
_HINT: Final = "do it in a service or a handler, which the platform starts; see register_services"

_STATE: Final[Mapping[str, Callable[[], Any]]] = {
    "environment variables": environment,
    "the search path of imports": lambda: list(sys.path),
    "handlers of signals": lambda: [signal.getsignal(number) for number in _SIGNALS],
    "handlers of the root logger": lambda: list(logging.root.handlers),
    "the working directory": os.getcwd,
    "running threads": lambda: sorted(thread.name for thread in threading.enumerate()),
}
"""What belongs to the process, and not to a module."""


def check(subject: Subject, ground: Ground) -> Iterator[Finding]:
    """Import every file of the module in this process, and yield what that did."""
    sys.dont_write_bytecode = True
    for neighbour in subject.beside:  # what they do is theirs
        importlib.import_module(f"{neighbour}.plugin")
    effects: dict[str, str] = {}
    listening = True

    def listen(event: str, arguments: tuple[Any, ...]) -> None:
        if listening and (told := _effect(event, arguments)) and (place := _place(subject.package)):
            effects.setdefault(place, told)

    before = {what: read() for what, read in _STATE.items()}
    sys.addaudithook(listen)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        failures = list(_imported(subject))
    listening = False
    yield from failures
    for place, told in effects.items():
        yield Finding(place, told, _HINT)
    if printed.getvalue().strip():
        yield Finding(subject.name, f"it prints: {printed.getvalue().strip()[:200]}", "log where it happens")
    for what, read in _STATE.items():
        if read() != before[what]:
            yield Finding(subject.name, f"it changes {what}", "leave the process to the platform")


def _imported(subject: Subject) -> Iterator[Finding]:
    for path in sorted(subject.package.rglob("*.py")):
        parts = path.relative_to(subject.package).with_suffix("").parts
        if parts[0] in _LATER or not all(part.isidentifier() for part in parts):
            continue
        name = ".".join((subject.name, *parts)).removesuffix(".__init__")
        try:
            with deadline(_SECONDS):
                importlib.import_module(name)
        except (Exception, PluginHung, SystemExit) as error:  # noqa: BLE001  # a module may raise anything, and is told so
            where = str(path.relative_to(subject.package.parent))
            yield Finding(where, f"it cannot be imported: {type(error).__name__}: {error}", "mend it")


def _effect(event: str, arguments: tuple[Any, ...]) -> str | None:
    if event != "open":
        return _EFFECTS.get(event)
    path, mode, flags = arguments
    writes = any(letter in mode for letter in "wax+") if mode else bool((flags or 0) & _WRITING)
    return f"it writes the file {path}" if writes and path != os.devnull else None


def _place(package: Path) -> str | None:
    """Return the innermost line of the module that is being executed; None where it is not the module's doing."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(f"{package}{os.sep}"):
            return f"{Path(file).relative_to(package.parent)}:{frame.f_lineno}"
        frame = frame.f_back
    return None
