"""Counts what the platform sends to PostgreSQL and Redis; private to the test kit."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from platform_core._pools import Pools
    from platform_core.cache import Redis


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: whose pool, which purpose (`commands`, `reads`, `replica`), and its text."""

    module: str
    purpose: str
    sql: str


@dataclass
class Traffic:
    """
    What was sent during a `count_statements` block.

    In autocommit one statement is one round trip. Opening a connection is not counted: pools keep theirs.

    Attributes:
        statements: in order.
        redis_packets: round trips to Redis; commands that travelled together count once.
    """

    statements: list[Statement] = field(default_factory=list)
    redis_packets: int = 0

    @property
    def count(self) -> int:
        """How many statements PostgreSQL got."""
        return len(self.statements)

    @property
    def by_module(self) -> Counter[str]:
        """How many of them each module's pools sent."""
        return Counter(statement.module for statement in self.statements)

    def __str__(self) -> str:
        lines = [f"{self.count} statements, {self.redis_packets} Redis packets"]
        lines += [f"  {s.module}/{s.purpose}: {' '.join(s.sql.split())[:160]}" for s in self.statements]
        return "\n".join(lines)


@contextlib.contextmanager
def counted(pools: Pools, redis: Redis) -> Iterator[Traffic]:
    """Count for the length of the block; other platforms of the same process are left out."""
    traffic = Traffic()

    def note(module: str, purpose: str, sql: str, _values: Sequence[Any]) -> None:
        traffic.statements.append(Statement(module, purpose, sql))

    exchange = redis._exchange

    async def counting(commands: Any) -> Any:
        traffic.redis_packets += 1
        return await exchange(commands)

    pools.watchers.append(note)
    redis._exchange = counting  # type: ignore[method-assign]  # the one place where a packet is sent
    try:
        yield traffic
    finally:
        pools.watchers.remove(note)
        redis._exchange = exchange  # type: ignore[method-assign]  # as it was
