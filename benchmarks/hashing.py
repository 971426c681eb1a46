"""Whether other requests still get their turn while passwords are hashed."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass

from benchmarks import http_cases, load
from benchmarks.ground import Ground
from benchmarks.http_cases import CASES
from benchmarks.sides import OURS, running


@dataclass(frozen=True, slots=True)
class Beside:
    """
    The 99th percentile of a GET, alone and while eight clients log in without a pause.

    Attributes:
        factor: the median over rounds; alone and beside are measured in turns.
    """

    alone_ms: list[float]
    beside_ms: list[float]
    factor: float


def measure(ground: Ground, *, rounds: int, seconds: float = 4) -> Beside:
    """Measure GETs of eight clients with and without eight others who log in."""
    by_name = {case.name: case for case in CASES}
    alone: list[float] = []
    beside: list[float] = []
    with running(ground, [OURS]) as [side]:
        time.sleep(http_cases.SETTLING_SECONDS)
        reads = http_cases.requests_of(ground, side, by_name["get"])
        logins = http_cases.requests_of(ground, side, by_name["login"])
        load.run(side.port, reads, connections=8, seconds=1)
        for _ in range(rounds):
            alone.append(load.run(side.port, reads, connections=8, seconds=seconds).p99_ms)
            crowd = threading.Thread(
                target=load.run,
                args=(side.port, logins),
                kwargs={"connections": 8, "seconds": seconds + 2},
                daemon=True,
            )
            crowd.start()
            time.sleep(1)
            beside.append(load.run(side.port, reads, connections=8, seconds=seconds).p99_ms)
            crowd.join()
    return Beside(alone, beside, statistics.median(b / a for a, b in zip(alone, beside, strict=True)))
