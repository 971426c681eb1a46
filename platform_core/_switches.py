"""
Which modules are switched off, as every process knows it; private to the kernel.

    DisableModule ── UPDATE platform.module_switches … epoch + 1 ; NOTIFY ──commit──► every process: "this is off now"

One row holds all of it, so that a change and its epoch are one compare-and-swap. The note carries the whole state, so
that whoever hears it need not ask; a process reads the row when it connects. What is off keeps its code, its tables and
its data: its routes say so, its deliveries wait for it, its schedules do not tick.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson
import psycopg
import structlog
from sqlalchemy import text

from platform_core._pool import Pool

__all__ = ["CHANNEL", "Switchboard", "forget_gone", "note_of"]

logger = structlog.get_logger("platform_core.switches")

CHANNEL: Final = "platform_switches"

STATE: Final = "SELECT epoch, off FROM platform.module_switches"


def note_of(epoch: int, off: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the payload of the NOTIFY that tells a new state; without reasons, as it has to be short."""
    return orjson.dumps({"epoch": epoch, "off": {name: _brief(s) for name, s in off.items()}}).decode()


def _brief(switch: Mapping[str, Any]) -> Mapping[str, Any]:
    kept = {"answer": int(switch["answer"]), "drains": bool(switch.get("drains", False))}
    return {**kept, "removed": True} if switch.get("removed") else kept


async def forget_gone(pool: Pool, installed: Sequence[str]) -> None:
    """Drop the switches of modules that are neither installed nor migrated: those were taken out for good."""
    async with pool.connect() as connection:
        await connection.run(_FORGET, {"installed": list(installed)})


_GONE: Final = (
    "SELECT jsonb_object_keys(s.off) EXCEPT SELECT name FROM platform.modules"
    " EXCEPT SELECT unnest(CAST(:installed AS text[]))"
)
_FORGET: Final = text(
    "UPDATE platform.module_switches s SET epoch = s.epoch + 1,"  # noqa: S608  # constants
    f" off = s.off - ARRAY({_GONE}) WHERE EXISTS ({_GONE})"
)


class Switchboard:
    """
    What this process knows of switches; a guest on the connection of `StandingCache`.

    Attributes:
        off: module → the status that its routes answer with, 404 or 503; always the same object, empty as a rule.
        resting: those of them whose events and jobs wait, too; the others are only closed to clients while what waits
            for them is worked off. Always the same object.
        removed: those of them that were taken out: nothing is kept for them any more. Always the same object.
        epoch: of the state that is known; it rises with each change.
    """

    channel: str = CHANNEL

    def __init__(self) -> None:
        self.off: dict[str, int] = {}
        self.resting: set[str] = set()
        self.removed: set[str] = set()
        self.epoch = -1
        self.changed: Callable[[], None] | None = None

    async def look(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Read the state; a database that has no switches yet has everything on."""
        with contextlib.suppress(psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            self._adopt_row(await (await connection.execute(STATE)).fetchone())

    def look_sync(self, connection: psycopg.Connection[Any]) -> None:
        """Read the state, for commands."""
        with contextlib.suppress(psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            self._adopt_row(connection.execute(STATE).fetchone())

    def hear(self, note: str) -> None:
        """Take over what a note says."""
        try:
            state = orjson.loads(note)
            epoch, off = int(state["epoch"]), {str(k): _brief(v) for k, v in state["off"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            logger.warning("a note about switches makes no sense; it is ignored")
            return
        self._adopt(epoch, off)

    def _adopt_row(self, row: tuple[Any, ...] | None) -> None:
        if row is not None:
            self._adopt(row[0], {name: _brief(switch) for name, switch in row[1].items()})

    def _adopt(self, epoch: int, off: Mapping[str, Mapping[str, Any]]) -> None:
        if epoch <= self.epoch:
            return  # a note that was on its way while the row was read
        answers = {name: switch["answer"] for name, switch in off.items()}
        if answers != self.off:
            logger.info("modules switched", off=sorted(off), epoch=epoch)
        self.epoch = epoch
        self.off.clear()
        self.off.update(answers)
        self.resting.clear()
        self.resting.update(name for name, switch in off.items() if not switch["drains"])
        self.removed.clear()
        self.removed.update(name for name, switch in off.items() if switch.get("removed"))
        if self.changed is not None:
            self.changed()
