"""
The owner's end: the guardian's process, and the pipe that ends with its owner.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from platform_core.embedded.order import EmbeddedServiceError, Order

logger = logging.getLogger(__name__)

STOP_TIMEOUT_SECONDS: Final = 60
"""More than the guardian takes when every server has to be told twice."""


@dataclass(frozen=True)
class EmbeddedServices:
    """
    Where the started servers listen.

    Attributes:
        database_url: `postgresql://platform@/platform?host=…`; the role may create databases and roles.
        redis_url: `unix://…`.
    """

    database_url: str | None
    redis_url: str | None


_open_leashes: set[int] = set()


def _drop_leashes_in_fork() -> None:
    """A forked child must not keep the servers alive after its parent's death."""
    for descriptor in _open_leashes:
        os.close(descriptor)
    _open_leashes.clear()


os.register_at_fork(after_in_child=_drop_leashes_in_fork)


class Leash:
    """The guardian's process and the write end of its pipe, which only the owner has."""

    def __init__(self, order: Order) -> None:
        held, self._leash = os.pipe()
        _open_leashes.add(self._leash)
        try:
            self._guardian = subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
                [sys.executable, "-m", "platform_core.embedded", json.dumps(asdict(order))],
                cwd=Path(__file__).parents[2],  # so that -m finds this very package
                stdin=held,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C reaches a whole group; the owner decides who stops when
            )
        finally:
            os.close(held)

    def services(self) -> EmbeddedServices:
        """Wait for the guardian's report."""
        assert self._guardian.stdout is not None  # noqa: S101 - PIPE was asked for
        with self._guardian.stdout as pipe:
            line = pipe.readline()
        report: dict[str, Any] = json.loads(line or b"{}")
        if note := report.get("note"):
            logger.warning("%s", note)
        if "database_url" not in report:
            raise EmbeddedServiceError(
                report.get("error", "The guardian of the embedded servers did not survive.")
            )
        return EmbeddedServices(report["database_url"], report["redis_url"])

    def let_go(self) -> None:
        """Tell the guardian to stop the servers, and wait until nothing is left."""
        if self._leash not in _open_leashes:  # in a fork that unwinds its parent's stack
            return
        _open_leashes.discard(self._leash)
        os.close(self._leash)
        try:
            self._guardian.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            logger.error("The embedded servers do not stop; killing their guardian, %d.", self._guardian.pid)
            self._guardian.kill()
            self._guardian.wait()
