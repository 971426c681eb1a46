"""The processes that a chaos run keeps alive, and kills; private to the test kit."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platform_core.testing._forks import Nursery
from platform_core.testing._nursery import Order
from platform_core.testing._processes import ProcessProblem

_READY = {
    "api": re.compile(r"http://127\.0\.0\.1:\d+"),
    "worker": re.compile("worker started"),
    "scheduler": re.compile("scheduler started"),
}
_LOOK_SECONDS = 0.05
_PAUSE_SECONDS = 0.1
"""Before a dead process is replaced, as a supervisor would."""

COMPILED = {
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "platform-tests-bytecode"),
}
"""Compiled once for all processes, where writing bytecode is switched off too: that is most of a start."""


@dataclass
class Member:
    """
    One place in the crew, whoever has it just now.

    Attributes:
        name: `api 1`, `worker 2`.
        url: of an API.
        pid: None between two lives.
        lives_count: how often it was started.
    """

    name: str
    arguments: Sequence[str]
    url: str | None = None
    pid: int | None = None
    lives_count: int = 0
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)
    is_gone: asyncio.Event = field(default_factory=asyncio.Event)
    log: Path = Path()

    @property
    def role(self) -> str:
        return self.name.partition(" ")[0]


class Crew:
    """
    Real processes of the platform; one that ends is replaced, and an end that nobody caused is remembered.

    Attributes:
        members: by name.
        surprises: processes that ended by themselves, with the end of what they wrote.
        starts_seconds: how long each start took until the process was ready.
    """

    def __init__(self, environment: Mapping[str, str], directory: Path) -> None:
        self._environment, self._directory = {**os.environ, **COMPILED, **environment}, directory
        self.members: dict[str, Member] = {}
        self.surprises: list[str] = []
        self.starts_seconds: list[float] = []
        self._killed: set[int] = set()
        self._down: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def add(self, role: str, count: int) -> None:
        """Plan `count` processes of a role: `api`, `worker` or `scheduler`."""
        for number in range(1, count + 1):
            name = f"{role} {number}"
            if role == "api":
                port = _free_port()
                url = f"http://127.0.0.1:{port}"
                self.members[name] = Member(name, ["serve", "--port", str(port)], url)
            else:
                self.members[name] = Member(name, [role])

    @property
    def urls(self) -> list[str]:
        """Where the APIs are; each keeps its address over all its lives."""
        return [member.url for member in self.members.values() if member.url is not None]

    def kill(self, name: str) -> bool:
        """`kill -9`; returns whether there was anybody to kill."""
        return self._end(name, signal.SIGKILL)

    def terminate(self, name: str) -> bool:
        """Ask it to end in order (SIGTERM); it is replaced, as in a rolling restart."""
        return self._end(name, signal.SIGTERM)

    def suspend(self, name: str) -> None:
        """Stop it where it stands (SIGSTOP) until `resume`."""
        self._signal(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let it go on."""
        self._signal(name, signal.SIGCONT)

    async def down(self, role: str) -> None:
        """Kill every process of a role and leave their places empty until `up`."""
        self._down.add(role)
        for member in self._of(role):
            self.kill(member.name)
        await asyncio.gather(*(member.is_gone.wait() for member in self._of(role)))

    async def up(self, role: str) -> None:
        """Fill the places of a role again."""
        self._down.discard(role)
        await asyncio.gather(*(self._start(member) for member in self._of(role)))

    async def all_ready(self, *, timeout_seconds: float = 60) -> None:
        """
        Wait until every process is ready.

        Raises:
            ProcessProblem: one is not in time; the end of what it wrote is in the message.
        """
        for member in self.members.values():
            try:
                await asyncio.wait_for(member.is_ready.wait(), timeout_seconds)
            except TimeoutError:
                raise ProcessProblem(
                    f"{member.name} is not ready within {timeout_seconds:g} s:\n{_tail(member.log)}"
                ) from None

    def _of(self, role: str) -> list[Member]:
        return [member for member in self.members.values() if member.role == role]

    def _end(self, name: str, number: signal.Signals) -> bool:
        member = self.members[name]
        if member.pid is None:
            return False
        self._killed.add(member.pid)
        member.is_ready.clear()
        return self._signal(name, number)

    def _signal(self, name: str, number: signal.Signals) -> bool:
        pid = self.members[name].pid
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return True

    # ── births and deaths ────────────────────────────────────────────────────────────────────────

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Crew]:
        """Start everything that was planned; the block begins when all are ready, and leaves none behind."""
        with contextlib.closing(Nursery(self._directory, self._environment)) as self._nursery:
            try:
                await asyncio.gather(*(self._start(member) for member in self.members.values()))
                await self.all_ready()
                yield self
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                for writer in self._writers:
                    writer.close()

    async def _start(self, member: Member) -> None:
        member.lives_count += 1
        member.log = self._directory / f"{member.name.replace(' ', '-')}.{member.lives_count}.log"
        order: Order = {
            "arguments": list(member.arguments),
            "environment": self._environment,
            "directory": None,
            "output": str(member.log),
            "errors": None,
            "program": None,
        }
        reader, writer = await asyncio.open_unix_connection(self._nursery.path)
        self._writers.add(writer)
        writer.write(json.dumps(order).encode() + b"\n")
        if not (born := await reader.readline()):
            raise ProcessProblem(f"{member.name} was not born; see nursery.log in {self._directory}")
        member.pid = json.loads(born)["pid"]
        member.is_gone.clear()
        self._spawn(self._bury(member, reader, writer))
        self._spawn(self._await_ready(member, member.pid))

    async def _await_ready(self, member: Member, pid: int) -> None:
        started = time.monotonic()
        while member.pid == pid and pid not in self._killed:
            if member.log.exists() and _READY[member.role].search(member.log.read_text(errors="replace")):
                member.is_ready.set()
                self.starts_seconds.append(time.monotonic() - started)
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _bury(self, member: Member, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Wait for the end of a life; the next one begins."""
        pid = member.pid
        assert pid is not None
        status = json.loads(await reader.readline())["status"]
        self._writers.discard(writer)
        writer.close()
        if pid not in self._killed:
            self.surprises.append(f"{member.name} ended by itself with {status}:\n{_tail(member.log)}")
        self._killed.discard(pid)
        member.pid = None
        member.is_ready.clear()
        member.is_gone.set()
        await asyncio.sleep(_PAUSE_SECONDS)
        if member.role not in self._down:
            await self._start(member)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _tail(log: Path) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-30:])
    return "it wrote nothing"
