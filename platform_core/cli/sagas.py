"""`platform sagas`: what is under way, what waits for somebody, and what to do about it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from platform_core.cli._output import AsJson, print_json, print_table
from platform_core.cli._session import with_kernel

if TYPE_CHECKING:
    from platform_core.app import Kernel

app = typer.Typer(
    name="sagas", help="Sagas: under way, taken back, waiting for a decision.", no_args_is_help=True
)

_PAGE_COUNT = 200

Identities = Annotated[list[UUID], typer.Argument(metavar="ID...", help="Of sagas.")]


class Status(StrEnum):
    """How a saga stands."""

    RUNNING = "running"
    COMPENSATING = "compensating"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    NEEDS_ATTENTION = "needs_attention"
    PARKED = "parked"


@app.command("list", epilog="Example: platform sagas list --status needs_attention")
def list_sagas(
    status: Annotated[Status | None, typer.Option(help="Only sagas that stand so.")] = None,
    name: Annotated[str | None, typer.Option(help="Only those of this name: orders.purchase.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the newest first.")] = 50,
    json: AsJson = False,
) -> None:
    """List sagas, the newest first; needs_attention and parked ones go on only when somebody decides."""
    found = with_kernel(lambda kernel: _sagas(kernel, status.value if status else None, name, limit))
    if json:
        print_json(found)
        return
    rows = [
        [s.id, f"{s.name}@{s.version}", s.status, _stands(s), f"{s.created_at:%Y-%m-%d %H:%M:%S}", s.error]
        for s in found
    ]
    print_table(["saga", "name", "status", "stands at", "started (UTC)", "error"], rows)


@app.command(epilog="Example: platform sagas show 01890a5d-ac96-774b-bcce-b302099a8057")
def show(
    identity: Annotated[UUID, typer.Argument(metavar="ID", help="Of a saga.")], json: AsJson = False
) -> None:
    """Show one saga: how its steps stand, and everything that happened to it."""
    found = with_kernel(lambda kernel: _saga(kernel, identity))
    if found is None:
        raise typer.BadParameter(f"there is no saga {identity}")
    if json:
        print_json(found)
        return
    typer.secho(f"{found.name}@{found.version}: {found.status}", bold=True)
    facts = ("id", "error", "actor_id", "correlation_id", "next_attempt_at", "created_at", "finished_at")
    print_table(["", ""], [[name, getattr(found, name)] for name in facts])
    typer.echo()
    print_table(
        ["step", "status", "attempts", "batches", "error"],
        [[s.name, s.status, s.attempts, s.batches or None, s.error] for s in found.steps],
    )
    typer.echo()
    print_table(
        ["at (UTC)", "step", "what", "detail"],
        [[f"{e.at:%Y-%m-%d %H:%M:%S}", e.step, e.what, e.detail] for e in found.timeline],
    )


@app.command(epilog="Example: platform sagas retry 01890a5d-ac96-774b-bcce-b302099a8057")
def retry(identities: Identities, json: AsJson = False) -> None:
    """Go on where sagas stand, at once and with all attempts."""
    from platform_core._saga_operations import RetrySaga

    _decide(RetrySaga, identities, "goes on", json)


@app.command(epilog="Example: platform sagas skip 01890a5d-ac96-774b-bcce-b302099a8057")
def skip(identities: Identities, json: AsJson = False) -> None:
    """Leave out the step, or the compensation, at which sagas stand; somebody did by hand what it is about."""
    from platform_core._saga_operations import SkipSagaStep

    _decide(SkipSagaStep, identities, "goes on without that step", json)


@app.command(epilog="Example: platform sagas compensate 01890a5d-ac96-774b-bcce-b302099a8057")
def compensate(identities: Identities, json: AsJson = False) -> None:
    """Take sagas back, completed ones too; what nobody knows of is taken back as if it had happened."""
    from platform_core._saga_operations import CompensateSaga

    _decide(CompensateSaga, identities, "is taken back", json)


def _decide(command: Any, identities: list[UUID], outcome: str, json: bool) -> None:
    done, refused = with_kernel(lambda kernel: _execute(kernel, command, identities))
    if json:
        print_json({"done": done, "refused": [{"id": i, "reason": reason} for i, reason in refused]})
    else:
        for identity in done:
            typer.echo(f"{identity} {outcome}.")
        for identity, reason in refused:
            typer.secho(f"{identity}: {reason}", fg="red", err=True)
    raise typer.Exit(1 if refused else 0)


def _stands(saga: Any) -> str | None:
    last = [step for step in saga.steps if step.status not in ("pending", "completed")]
    return f"{last[-1].name} {last[-1].status}" if last else None


async def _sagas(kernel: Kernel, status: str | None, name: str | None, limit: int) -> list[Any]:
    from platform_core._saga_operations import ListSagas
    from platform_core.domain import PageRequest

    found: list[Any] = []
    cursor: str | None = None
    while len(found) < limit:
        page = PageRequest(limit=min(limit - len(found), _PAGE_COUNT), cursor=cursor)
        answer = await kernel.bus.ask(ListSagas(page=page, status=status, name=name))  # type: ignore[arg-type]  # one of `Status`
        found += answer.items
        cursor = answer.next_cursor
        if cursor is None:
            break
    return found


async def _saga(kernel: Kernel, identity: UUID) -> Any:
    from platform_core._saga_operations import GetSaga
    from platform_core.errors import NotFound

    try:
        return await kernel.bus.ask(GetSaga(saga_id=identity))
    except NotFound:
        return None


async def _execute(
    kernel: Kernel, command: Any, identities: list[UUID]
) -> tuple[list[UUID], list[tuple[UUID, str]]]:
    from platform_core.errors import DomainError

    done: list[UUID] = []
    refused: list[tuple[UUID, str]] = []
    for identity in identities:
        try:
            await kernel.bus.execute(command(saga_id=identity))
            done.append(identity)
        except DomainError as error:
            refused.append((identity, error.message))
    return done, refused
