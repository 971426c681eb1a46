"""Sagas for operators: what is under way, what waits for somebody, and what they can do about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal
from uuid import UUID

from fastapi import Query as QueryParameter
from sqlalchemy import Text, bindparam, case, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert

from platform_core._sagas import Definitions, moves, store
from platform_core._tables import deliveries, saga_log, sagas
from platform_core._uow import SqlUnitOfWork
from platform_core.db import Reads, UnitOfWork
from platform_core.declarations import Saga
from platform_core.domain import Command, Page, PageRequest, Query
from platform_core.errors import DomainError, Kind, NotFound
from platform_core.http import Ask, Execute, PageParams, Router

__all__ = ["COMMANDS", "QUERIES", "router"]

Status = Literal["running", "compensating", "completed", "compensated", "needs_attention", "parked"]


class SagaNotInstalled(DomainError, kind=Kind.CONFLICT):
    """No installed module has the version of the saga that this run began as."""


# ── what operators see ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class SagaStepView:
    """
    How one step stands.

    Attributes:
        attempts: of its action; of the batch that it is at, where it has several.
        batches: of its action that are stored, while there is more to do.
    """

    name: str
    status: str
    attempts: int
    batches: int
    error: str | None


@dataclass(frozen=True, kw_only=True)
class SagaView:
    """
    One run of a saga.

    Attributes:
        status: `parked` when no worker takes it: its module or version is gone, or it took workers along.
        error: why it is parked or waits.
        next_attempt_at: of whatever it stands at; None when it has ended.
    """

    id: UUID
    name: str
    version: int
    status: str
    steps: list[SagaStepView]
    error: str | None
    actor_id: UUID | None
    correlation_id: str
    next_attempt_at: datetime | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class SagaEntryView:
    """One entry of a run's timeline."""

    at: datetime
    step: str | None
    what: str
    detail: str | None


@dataclass(frozen=True, kw_only=True)
class SagaDetailView(SagaView):
    """One run with all that happened to it."""

    data: dict[str, Any]
    timeline: list[SagaEntryView]


@dataclass(frozen=True, kw_only=True)
class ListSagas(Query[Page[SagaView]]):
    """Runs of sagas, newest first."""

    page: PageRequest
    status: Status | None = None
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class GetSaga(Query[SagaDetailView]):
    """One run with its timeline."""

    saga_id: UUID


_STATUS: Final = case((deliveries.c.status.in_(("dead", "parked")), literal("parked")), else_=sagas.c.status)
_RUNS: Final = select(
    sagas.c.id,
    sagas.c.name,
    sagas.c.definition.label("version"),
    _STATUS.label("shown_status"),
    sagas.c.steps,
    deliveries.c.last_error,
    sagas.c.actor_id,
    sagas.c.correlation_id,
    case((deliveries.c.status == "pending", deliveries.c.available_at)).label("next_attempt_at"),
    sagas.c.created_at,
    sagas.c.updated_at,
    sagas.c.finished_at,
).select_from(sagas.outerjoin(deliveries, deliveries.c.id == sagas.c.id))
_WANTED_STATUS: Final = bindparam("status", type_=Text)
_WANTED_NAME: Final = bindparam("name", type_=Text)
_LISTED: Final = _RUNS.where(
    or_(_WANTED_STATUS.is_(None), _STATUS == _WANTED_STATUS),
    or_(_WANTED_NAME.is_(None), sagas.c.name == _WANTED_NAME),
)
_ENTRY: Final = func.jsonb_build_object(
    "at", saga_log.c.at, "step", saga_log.c.step, "what", saga_log.c.what, "detail", saga_log.c.detail
)
_DETAIL: Final = _RUNS.add_columns(
    sagas.c.data,
    select(func.jsonb_agg(aggregate_order_by(_ENTRY, saga_log.c.id)))
    .where(saga_log.c.saga_id == sagas.c.id)
    .scalar_subquery()
    .label("timeline"),
).where(sagas.c.id == bindparam("saga_id"))


async def list_sagas(query: ListSagas, reads: Reads) -> Page[SagaView]:
    """Answer `ListSagas`."""
    values = {"status": query.status, "name": query.name}
    return await reads.page(
        _LISTED, query.page, lambda row: SagaView(**_shown(row)), order=(sagas.c.id,), values=values
    )


async def get_saga(query: GetSaga, reads: Reads) -> SagaDetailView:
    """Answer `GetSaga`; raises `NotFound`."""
    row = await reads.one(_DETAIL, {"saga_id": query.saga_id})
    if row is None:
        raise NotFound("There is no such saga.")
    timeline = [
        SagaEntryView(**{**entry, "at": datetime.fromisoformat(entry["at"])})
        for entry in row["timeline"] or ()
    ]
    return SagaDetailView(**_shown(row), data=row["data"], timeline=timeline)


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    steps = store.read_run({**row, "status": row["shown_status"]}).steps
    error = row["last_error"] or next((step.error for step in reversed(steps) if step.error), None)
    names = SagaView.__dataclass_fields__.keys() & row.keys()
    return {name: row[name] for name in names} | {
        "status": row["shown_status"],
        "error": error,
        "steps": [
            SagaStepView(
                name=step.name,
                status=step.status,
                attempts=step.attempts,
                batches=step.batches,
                error=step.error,
            )
            for step in steps
        ],
    }


# ── what operators do ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class RetrySaga(Command[None]):
    """Go on where it stands, at once and with all attempts."""

    wire_name: ClassVar[str] = "platform.retry_saga"

    saga_id: UUID


@dataclass(frozen=True, kw_only=True)
class SkipSagaStep(Command[None]):
    """Leave out the step, or the compensation, that it stands at."""

    wire_name: ClassVar[str] = "platform.skip_saga_step"

    saga_id: UUID


@dataclass(frozen=True, kw_only=True)
class CompensateSaga(Command[None]):
    """Take everything back, of a completed run too."""

    wire_name: ClassVar[str] = "platform.compensate_saga"

    saga_id: UUID


async def retry_saga(command: RetrySaga, uow: UnitOfWork, definitions: Definitions) -> None:
    """Handle `RetrySaga`."""
    run = await _Decision.about(command.saga_id, uow, definitions)
    run.store(moves.retried(run.stands), "retried")


async def skip_saga_step(command: SkipSagaStep, uow: UnitOfWork, definitions: Definitions) -> None:
    """Handle `SkipSagaStep`."""
    run = await _Decision.about(command.saga_id, uow, definitions)
    run.store(moves.skipped(run.saga, run.stands), "skipped")


async def compensate_saga(command: CompensateSaga, uow: UnitOfWork, definitions: Definitions) -> None:
    """Handle `CompensateSaga`."""
    run = await _Decision.about(command.saga_id, uow, definitions)
    run.store(moves.taken_back(run.saga, run.stands), "compensation ordered")


_ROW: Final = select(sagas).where(sagas.c.id == bindparam("saga_id"))


@dataclass(frozen=True, slots=True)
class _Decision:
    """
    What an operator decides about one run.

    Attributes:
        stands: how it stands before.
    """

    uow: UnitOfWork
    definitions: Definitions
    row: Mapping[str, Any]
    saga: Saga
    stands: moves.Run

    @classmethod
    async def about(cls, saga_id: UUID, uow: UnitOfWork, definitions: Definitions) -> _Decision:
        """Read the run; raises `NotFound`, `SagaNotInstalled`."""
        row = await uow.fetch_one(_ROW, {"saga_id": saga_id})
        if row is None:
            raise NotFound("There is no such saga.")
        stands = store.read_run(row)
        saga = definitions.pinned(row["name"], row["definition"], stands.names)
        if saga is None:
            raise SagaNotInstalled(f"No installed module has {row['name']} of version {row['definition']}.")
        return cls(uow, definitions, row, saga, stands)

    def store(self, run: moves.Run, what: str) -> None:
        """Make `run` what is stored, and take the lease from whoever has it: a step under way changes nothing more."""
        uow, row, over = self.uow, self.row, not run.is_going_on
        assert isinstance(uow, SqlUnitOfWork)  # noqa: S101  # the kernel's own is no other
        uow.write(
            update(sagas)
            .where(sagas.c.id == row["id"], sagas.c.revision == row["revision"])
            .values(
                status=run.status,
                steps=store.plain_steps(run),
                revision=row["revision"] + 1,
                updated_at=func.now(),
                finished_at=func.now() if over else None,
            ),
            expect=1,
            resource=("platform.saga", row["id"]),
        )
        lease = {
            "handler": self.definitions.handler(self.saga, run),
            "status": "done" if over else "pending",
            "attempts_count": 0,
            "lease_token": None,
            "last_error": None,
            "available_at": func.now(),
            "finished_at": func.now() if over else None,
        }
        actor_id = row["actor_id"] and str(row["actor_id"])
        context = {"actor_id": actor_id, "correlation_id": row["correlation_id"], "label": "saga"}
        fresh = insert(deliveries).values(id=row["id"], command={}, context=context, **lease)
        # its delivery is purged some time after the saga has ended
        uow.write(fresh.on_conflict_do_update(index_elements=["id"], set_=lease), expect=1)
        label = uow.context.principal.user_id or uow.context.principal.label
        uow.append(store.note(row["id"], what, detail=f"by {label}"))


router = Router()
Name = Annotated[str | None, QueryParameter(max_length=200)]
_REFUSALS: Final = (NotFound, moves.SagaNotActionable, SagaNotInstalled)


@router.get("/platform/sagas", permission="platform:read", summary="List sagas")
async def saga_list(
    ask: Ask, page: PageParams, status: Status | None = None, name: Name = None
) -> Page[SagaView]:
    return await ask(ListSagas(page=page, status=status, name=name))


@router.get("/platform/sagas/{saga_id}", permission="platform:read", raises=(NotFound,), summary="See a saga")
async def saga(saga_id: UUID, ask: Ask) -> SagaDetailView:
    return await ask(GetSaga(saga_id=saga_id))


@router.post(
    "/platform/sagas/{saga_id}/retry",
    status_code=204,
    permission="platform:write",
    raises=_REFUSALS,
    summary="Try a saga again where it stands",
)
async def retry(saga_id: UUID, execute: Execute) -> None:
    await execute(RetrySaga(saga_id=saga_id))


@router.post(
    "/platform/sagas/{saga_id}/skip",
    status_code=204,
    permission="platform:write",
    raises=_REFUSALS,
    summary="Leave out the step at which a saga stands",
)
async def skip(saga_id: UUID, execute: Execute) -> None:
    await execute(SkipSagaStep(saga_id=saga_id))


@router.post(
    "/platform/sagas/{saga_id}/compensate",
    status_code=204,
    permission="platform:write",
    raises=_REFUSALS,
    summary="Take a saga back",
)
async def compensate(saga_id: UUID, execute: Execute) -> None:
    await execute(CompensateSaga(saga_id=saga_id))


COMMANDS: Final[Mapping[type[Command[Any]], Callable[..., Awaitable[Any]]]] = {
    RetrySaga: retry_saga,
    SkipSagaStep: skip_saga_step,
    CompensateSaga: compensate_saga,
}
QUERIES: Final[Mapping[type[Query[Any]], Callable[..., Awaitable[Any]]]] = {
    ListSagas: list_sagas,
    GetSaga: get_saga,
}
