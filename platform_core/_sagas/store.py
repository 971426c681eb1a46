"""
How a run lies in the database, and the writes that carry it on.

The delivery with the run's own id is its lease: whoever holds its token may take the next step, and a worker claims it
like any other. Each write also names the revision that it was decided on, so that a statement whose answer was lost,
or one of somebody who slept through the end of their lease, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final
from uuid import UUID

import orjson

from platform_core._pool import Pool
from platform_core._pools import translated
from platform_core._sagas import moves
from platform_core._sagas.definitions import Definitions
from platform_core._uow import SqlUnitOfWork, Write, dumps
from platform_core.domain import new_id
from platform_core.errors import LeaseLost, PlatformError, Unparsable
from platform_core.ports import SagaRun

FOLLOWED_SECONDS: Final = 5.0
"""How long a caller waits for a saga; the contract answers 202 after that."""

_COLUMNS: Final = "s.id, s.name, s.definition, s.status, s.steps, s.data, s.revision, s.actor_id"
_READ: Final = f"SELECT {_COLUMNS} FROM platform.sagas s WHERE s.id = %(id)s"  # noqa: S608  # a constant
_TAKE: Final = f"""
WITH mine AS (
    UPDATE platform.deliveries SET lease_token = %(token)s, attempts_count = attempts_count + 1,
        available_at = now() + make_interval(secs => %(lease)s)
    WHERE id = %(id)s AND status = 'pending' AND lease_token IS NULL RETURNING id
)
SELECT {_COLUMNS} FROM mine JOIN platform.sagas s ON s.id = mine.id
"""  # noqa: S608  # constants

_BEGIN: Final = (
    "INSERT INTO platform.sagas (id, name, definition, steps, data, actor_id, correlation_id) VALUES"
    " (%(id)s, %(name)s, %(definition)s, %(steps)s::jsonb, %(data)s::jsonb, %(actor)s, %(correlation)s)"
)
_NOTE: Final = (
    "INSERT INTO platform.saga_log (saga_id, step, what, detail)"
    " VALUES (%(id)s, %(step)s, %(what)s, %(detail)s)"
)
_CARRY_ON: Final = (
    "UPDATE platform.sagas SET status = %(status)s, steps = %(steps)s::jsonb, revision = revision + 1,"
    " updated_at = now(), finished_at = CASE WHEN %(over)s THEN now() END"
    " WHERE id = %(id)s AND revision = %(revision)s"
)
_HELD: Final = " WHERE id = %(id)s AND lease_token = %(token)s"
_KEEP: Final = (
    "UPDATE platform.deliveries SET attempts_count = 1, handler = %(handler)s,"
    " available_at = GREATEST(available_at, now() + make_interval(secs => %(seconds)s))"
)
_RELEASE: Final = (
    "UPDATE platform.deliveries SET lease_token = NULL, attempts_count = 0, last_error = %(error)s,"
    " handler = %(handler)s,"
    " available_at = now() + make_interval(secs => %(seconds)s)"
)
_FINISH: Final = """
UPDATE platform.deliveries SET status = 'done', lease_token = NULL, last_error = NULL, finished_at = now()"""


@dataclass(frozen=True, slots=True)
class Stored:
    """A run as it was read, with the lease under which it may be carried on."""

    id: UUID
    name: str
    definition: int
    revision: int
    actor_id: UUID | None
    data: Mapping[str, Any]
    run: moves.Run
    token: UUID

    @classmethod
    def of(cls, row: Mapping[str, Any], token: UUID) -> Stored:
        """Read a row; raises `Unparsable` when an earlier or later build wrote its steps differently."""
        return cls(
            row["id"],
            row["name"],
            row["definition"],
            row["revision"],
            row["actor_id"],
            row["data"],
            read_run(row),
            token,
        )

    def for_step(self, *, is_undo: bool) -> SagaRun:
        """Return what a step's function makes its command of."""
        results = {step.name: step.result for step in self.run.steps if step.result is not None}
        return SagaRun(
            id=self.id, data=self.data, results=results, actor_id=self.actor_id, is_compensating=is_undo
        )


@dataclass(frozen=True, slots=True)
class Lease:
    """
    What becomes of the lease with a write.

    Attributes:
        seconds: it is kept for at least so long, or given away for so long.
        is_kept: whoever writes goes on.
        error: shown while nobody holds it.
    """

    seconds: float
    is_kept: bool = True
    error: str | None = None


def read_run(row: Mapping[str, Any]) -> moves.Run:
    """Return how a run stands, as its row says; raises `Unparsable` when it does not."""
    known = {field.name for field in fields(moves.Step)}
    try:
        steps = tuple(moves.Step(**{k: v for k, v in step.items() if k in known}) for step in row["steps"])
    except (TypeError, AttributeError) as error:
        raise Unparsable(f"the steps of saga {row['id']} cannot be read") from error
    return moves.Run(row["status"], steps)


def carried_on(
    stored: Stored,
    run: moves.Run,
    lease: Lease,
    *,
    handler: str,
    step: str | None,
    what: str | None,
    detail: str | None = None,
) -> list[Write]:
    """
    Return the writes that make `run` what is stored, and keep, release or finish the lease.

    Args:
        handler: that takes the next step.
        what: for the timeline; None for what need not be told.
    """
    lost = LeaseLost(f"saga {stored.id} was carried on by somebody else")
    values = {"id": stored.id, "token": stored.token, "seconds": lease.seconds, "handler": handler}
    if not run.is_going_on:
        sql = _FINISH
    elif lease.is_kept:
        sql = _KEEP
    else:
        sql, values = _RELEASE, values | {"error": lease.error}
    change = {
        "id": stored.id,
        "revision": stored.revision,
        "status": run.status,
        "steps": dumps(run.steps),
        "over": not run.is_going_on,
    }
    told = [] if what is None else [note(stored.id, what, step=step, detail=detail)]
    return [Write(sql + _HELD, values, 1, lost), Write(_CARRY_ON, change, 1, lost), *told]


def note(saga_id: UUID, what: str, *, step: str | None = None, detail: str | None = None) -> Write:
    """Return the write that adds an entry to a run's timeline."""
    return Write(_NOTE, {"id": saga_id, "step": step, "what": what, "detail": detail})


async def read(pool: Pool, saga_id: UUID, token: UUID) -> Stored:
    """Read a run whose lease the caller holds; raises `Unparsable` when there is none."""
    with translated():
        async with pool.connect() as connection:
            rows = await connection.fetch(_READ, {"id": saga_id})
    if not rows:
        raise Unparsable(f"there is no saga {saga_id}")
    return Stored.of(rows[0], token)


async def take(pool: Pool, saga_id: UUID, *, seconds: float) -> Stored | None:
    """Lease and read a run that nobody holds; None when somebody does, or it has ended."""
    token = new_id()
    with translated():
        async with pool.connect() as connection:
            rows = await connection.fetch(_TAKE, {"id": saga_id, "token": token, "lease": seconds})
    return Stored.of(rows[0], token) if rows else None


class UowSagas:
    """`ports.Sagas` of one unit of work."""

    def __init__(self, uow: SqlUnitOfWork, definitions: Callable[[], Definitions]) -> None:
        self._uow, self._definitions = uow, definitions

    def start(
        self, name: str, *, saga_id: UUID, data: Mapping[str, Any] | None = None, followed: bool = False
    ) -> None:
        definitions = self._definitions()
        saga = definitions.newest(name)
        if not saga.steps:
            return
        run, context = moves.begun(saga), self._uow.context
        begun = {
            "id": saga_id,
            "name": saga.name,
            "definition": saga.version,
            "steps": dumps(run.steps),
            "data": dumps(data or {}),
            "actor": context.principal.user_id,
            "correlation": context.correlation_id,
        }
        self._uow.append(Write(_BEGIN, begun))
        self._uow.append(note(saga_id, "started"))
        wait = FOLLOWED_SECONDS if followed else 0
        self._uow.enqueue(saga_id, definitions.handler(saga, run), {}, after_seconds=wait)


def plain(result: Any) -> Any:
    """Return what a command answered as JSON keeps it; nothing where that is more than a run should carry along."""
    text = dumps(result)
    return orjson.loads(text) if len(text) <= _RESULT_LENGTH else None


def plain_progress(progress: Any) -> Any:
    """
    Return how far a step is as JSON keeps it.

    Raises:
        PlatformError: that is more than a run should carry along; without it the step would begin anew for ever.
    """
    text = dumps(progress)
    if len(text) > _RESULT_LENGTH:
        raise PlatformError(
            f"the progress of a step has {len(text)} characters, of {_RESULT_LENGTH} at most: keep it in a table"
        )
    return orjson.loads(text)


def plain_steps(run: moves.Run) -> Any:
    """Return how the steps stand as their column keeps them."""
    return orjson.loads(dumps(run.steps))


_RESULT_LENGTH: Final = 10_000


def summary(steps: Sequence[moves.Step]) -> str:
    """Return a line about every step, for logs."""
    return ", ".join(f"{step.name} {step.status}" for step in steps)
