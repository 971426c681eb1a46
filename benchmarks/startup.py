"""How long `platform serve` takes to its first answer, and what each further module adds to it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import http_cases, load
from benchmarks.generated import module
from benchmarks.ground import ECHO, prepared
from benchmarks.http_cases import CASES
from benchmarks.sides import OURS, running

MODULES: Final = (0, 1, 10, 50, 100)


@dataclass(frozen=True, slots=True)
class Started:
    """
    One process with so many generated modules beside the shipped ones.

    Attributes:
        seconds: from the start of the process to its first 200.
        cpu_seconds: its own processor time for that, which other programs of the machine do not lengthen.
        memory_mb: resident, at the first answer.
        cpu_ms: processor time per GET.
    """

    modules: int
    seconds: float
    cpu_seconds: float
    memory_mb: float
    cpu_ms: float


def measure(smtp_port: int, otlp_port: int, counts: Sequence[int] = MODULES) -> list[Started]:
    """Start the platform with ever more modules, each time on a migrated database."""
    return [_started(count, smtp_port, otlp_port) for count in counts]


def _started(count: int, smtp_port: int, otlp_port: int) -> Started:
    plugins = [ECHO, *(module(number) for number in range(1, count + 1))]
    with contextlib.ExitStack() as stack:
        ground = stack.enter_context(prepared(smtp_port=smtp_port, otlp_port=otlp_port, plugins=plugins))
        with running(ground, [OURS]):
            pass  # once before: everything is compiled and in the file cache, as on a machine that restarts
        begun = time.perf_counter()
        [side] = stack.enter_context(running(ground, [OURS]))
        seconds, pid = time.perf_counter() - begun, side.process.pid
        cpu_seconds, memory_mb = load.cpu_seconds(pid), _memory_mb(pid)
        time.sleep(http_cases.SETTLING_SECONDS)
        one = http_cases.measure(ground, [side], CASES[0], connections=8, seconds=3, rounds=3)
    return Started(count, seconds, cpu_seconds, memory_mb, one.median(OURS, "cpu_ms"))


def _memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))
