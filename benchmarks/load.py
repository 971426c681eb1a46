"""The load: wrk, one thread, sending prepared requests over kept connections."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from platform_core.errors import OperationError

_SCRIPT: Final = Path(__file__).with_name("wrk.lua")
_numbers = itertools.count(time.time_ns() // 1_000_000 % 1_000_000_000, 1_000_000)


class LoadProblem(OperationError):
    """The load could not be made, or was answered with errors: the figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Sent:
    """
    One request as it goes over the wire; `%d` becomes a new number each time.

    Attributes:
        filling: so many bytes follow `body`, and `ending` follows them.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: str | None = None
    filling: int = 0
    ending: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run of the load has seen; `cpu_ms` is what the server's process spent on one request."""

    requests: int
    rate: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    cpu_ms: float = 0.0


def program() -> str:
    """
    Return where wrk is.

    Raises:
        LoadProblem: it is not installed.
    """
    found = shutil.which("wrk")
    if found is None:
        raise LoadProblem(
            "wrk, which makes the load, is not installed: apt-get install wrk, or brew install wrk."
        )
    return found


def write(requests: Sequence[Sent], path: Path) -> Path:
    """Write requests as the script reads them."""
    lines = []
    for sent in requests:
        headers = ", ".join(f"[{_lua(name)}] = {_lua(value)}" for name, value in sent.headers.items())
        body = "" if sent.body is None else f", body = {_lua(sent.body)}"
        if sent.filling:
            body += f", filling = {sent.filling}, ending = {_lua(sent.ending)}"
        lines.append(
            f"{{method = {_lua(sent.method)}, path = {_lua(sent.path)}, headers = {{{headers}}}{body}}}"
        )
    path.write_text("return {\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return path


def run(port: int, requests: Path, *, connections: int, seconds: float, pid: int | None = None) -> Figures:
    """
    Send requests for a while, each connection one after the other.

    Args:
        requests: as `write` left them.
        pid: of the server, whose processor time is looked at.

    Raises:
        LoadProblem: something was not answered with 2xx.
    """
    command = [
        program(),
        "-t1",
        f"-c{connections}",
        f"-d{seconds:g}s",
        "--timeout",
        "30s",
        "-s",
        str(_SCRIPT),
    ]
    command += [f"http://127.0.0.1:{port}", "--", str(requests), str(next(_numbers))]
    before = cpu_seconds(pid) if pid else 0.0
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # found by `program`
    spent = (cpu_seconds(pid) if pid else 0.0) - before
    try:
        told = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise LoadProblem(f"wrk said: {done.stdout}{done.stderr}") from None
    if told["refused"] or told["broken"] or not told["requests"]:
        raise LoadProblem(
            f"{told['refused']} requests were refused and {told['broken']} broken, of {told['requests']}"
        )
    rate = told["requests"] / told["seconds"]
    latencies = {name: told[name] for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms")}
    return Figures(told["requests"], rate, **latencies, cpu_ms=spent * 1000 / told["requests"])


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process so far, all threads, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _lua(text: str) -> str:
    return json.dumps(text)
