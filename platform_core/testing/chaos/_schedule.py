"""
Which fault strikes when: a schedule that a seed decides; private to the test kit.

    schedule = [every(0.5, 1.5, kill("api", "worker", "scheduler")), every(12, 15, crash_postgres)]

The same seed gives the same faults at the same seconds after the start; what the platform is doing at that moment is
the machine's affair, so a replay is the same weather, not the same film.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """
    One thing that goes wrong.

    Attributes:
        verb: what is done, see the functions of this file.
        target: `postgres`, `redis`, or a process: `api 2`.
        seconds: how long it lasts, where it lasts.
        amount: of bytes or seconds, where there is one.
    """

    verb: str
    target: str
    seconds: float = 0
    amount: float = 0

    @property
    def parts_workers_from_postgres(self) -> bool:
        """Whether a mail that was handed over may now remain without its note, and so go out again."""
        return self.target.startswith(("worker", "postgres"))

    def __str__(self) -> str:
        lasting = f" for {self.seconds:g} s" if self.seconds else ""
        much = f" ({self.amount:g})" if self.amount else ""
        return f"{self.verb} {self.target}{much}{lasting}"


Choices = Sequence[Fault]
"""Faults of which each strike is one."""


def kill(*roles: str, count: int = 2) -> Choices:
    """`kill -9` to one of the processes of these roles."""
    return [Fault("kill", f"{role} {number}") for role in roles for number in range(1, count + 1)]


def hang(*roles: str, count: int = 2, seconds: float) -> Choices:
    """Stop one of the processes of these roles for a while, as an overloaded machine does."""
    return [Fault("hang", f"{role} {number}", seconds) for role in roles for number in range(1, count + 1)]


def terminate(*roles: str, count: int = 2) -> Choices:
    """Restart one of the processes of these roles in order (SIGTERM)."""
    return [Fault("terminate", f"{role} {number}") for role in roles for number in range(1, count + 1)]


def network(*targets: str, seconds: float) -> Choices:
    """Hurt the connections to `postgres` or `redis`: delays, black holes, resets, answers cut in the middle."""
    return [
        fault
        for target in targets
        for fault in (
            Fault("delay", target, seconds, 0.05),
            Fault("black hole before", target, seconds),
            Fault("refuse", target, seconds),
            Fault("reset", target),
            Fault("cut", target, amount=20),
            Fault("cut", target, amount=400),
        )
    ]


crash_postgres: Choices = [Fault("crash", "postgres")]
"""What `pg_ctl restart -m immediate` does; needs a PostgreSQL of the test's own."""

lose_redis: Choices = [Fault("kill", "redis"), Fault("flush", "redis")]
"""Redis dies and comes back empty, or is emptied."""


@dataclass(frozen=True, slots=True)
class Every:
    """
    Strikes at random distances.

    Attributes:
        shortest_seconds, longest_seconds: between two strikes.
        times: how often at most; None for as long as the load goes on.
    """

    shortest_seconds: float
    longest_seconds: float
    choices: Choices
    times: int | None = None

    def strikes(self, dice: random.Random) -> Iterator[tuple[float, Fault]]:
        """Yield (seconds after the start, fault) without end, or `times` times."""
        at, struck = 0.0, 0
        while self.times is None or struck < self.times:
            at += dice.uniform(self.shortest_seconds, self.longest_seconds)
            struck += 1
            yield at, dice.choice(self.choices)


def every(
    shortest_seconds: float, longest_seconds: float, choices: Choices, *, times: int | None = None
) -> Every:
    """Let one of the choices strike every so many seconds."""
    return Every(shortest_seconds, longest_seconds, choices, times)


def strikes(seed: int, plan: Sequence[Every]) -> Iterator[tuple[float, Fault]]:
    """
    Yield (seconds after the start, fault) in order; the same for the same seed and plan.

    Each line of the plan throws dice of its own, so that taking one away leaves the others as they were.
    """
    streams = (line.strikes(random.Random(f"{seed}/{index}")) for index, line in enumerate(plan))  # noqa: S311  # repeatable on purpose
    return heapq.merge(*streams, key=lambda strike: strike[0])


@dataclass(frozen=True, slots=True)
class Scale:
    """
    How much of it: chosen on the command line, the same test for every push and for every week.

    Attributes:
        acknowledged_count: how many operations must be acknowledged.
        faults_count: how many faults must have struck at least.
        faults: which strike when.
        own_postgres: whether PostgreSQL crashes too, and so must be the run's own.
    """

    acknowledged_count: int
    faults_count: int
    faults: Sequence[Every]
    own_postgres: bool = False


_EVERYBODY = kill("api", "worker", "scheduler")

SCALES = {
    "short": Scale(150, 8, [every(1, 2, _EVERYBODY)]),
    "gate": Scale(3000, 60, [every(0.5, 1.5, _EVERYBODY)]),
    "long": Scale(
        50_000,
        500,
        [every(0.3, 0.9, _EVERYBODY), every(12, 15, crash_postgres), every(10, 20, lose_redis, times=20)],
        own_postgres=True,
    ),
}
"""`short` is for the default run of all tests, `gate` for each push, `long` for every week."""
