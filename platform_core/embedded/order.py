"""
What the owner tells the guardian, and how a failure is told on either side.
"""

from __future__ import annotations

from dataclasses import dataclass

from platform_core.errors import OperationError


class EmbeddedServiceError(OperationError):
    """An embedded server could not be started."""


@dataclass(frozen=True)
class Order:
    """
    What the guardian is told, as JSON.

    Attributes:
        postgres_bin: the directory of PostgreSQL's programs; None where it is not wanted.
        redis_program: None where it is not wanted.
        tcp, durable: as in `embedded_services`.
    """

    data_dir: str
    owner_pid: int
    owner_name: str
    postgres_bin: str | None
    redis_program: str | None
    tcp: bool
    durable: bool
