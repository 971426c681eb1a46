"""`platform events`: what is on its way, what failed and why, and how to try it again."""

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
    name="events", help="Deliveries of events: waiting, failed, to be retried.", no_args_is_help=True
)

_PAGE_COUNT = 200


class Status(StrEnum):
    """What became of a delivery."""

    PENDING = "pending"
    DONE = "done"
    DEAD = "dead"
    PARKED = "parked"


@app.command("list", epilog="Example: platform events list --status dead --handler notification.welcome_mail")
def list_deliveries(
    status: Annotated[Status | None, typer.Option(help="Only deliveries in this state.")] = None,
    handler: Annotated[str | None, typer.Option(help="Only those of this handler or task.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the newest first.")] = 50,
    json: AsJson = False,
) -> None:
    """List deliveries and jobs, the newest first; the dead ones are those that nobody will try again."""
    found = with_kernel(lambda kernel: _deliveries(kernel, status.value if status else None, handler, limit))
    if json:
        print_json(found)
        return
    rows = [
        [d.id, d.handler, d.status, d.attempts, f"{d.created_at:%Y-%m-%d %H:%M:%S}", _short(d.last_error)]
        for d in found
    ]
    print_table(["delivery", "handler", "status", "attempts", "created (UTC)", "last error"], rows)


@app.command(epilog="Example: platform events show 01890a5d-ac96-774b-bcce-b302099a8057")
def show(
    identity: Annotated[UUID, typer.Argument(metavar="ID", help="Of a delivery, or of an event.")],
    json: AsJson = False,
) -> None:
    """Show one delivery with its event, or one event with all its deliveries."""
    event, deliveries = with_kernel(lambda kernel: _event_and_deliveries(kernel, identity))
    if event is None and not deliveries:
        raise typer.BadParameter(f"there is neither a delivery nor an event {identity}")
    if json:
        print_json({"event": event, "deliveries": deliveries})
        return
    if event is not None:
        typer.secho(f"{event['name']} version {event['version']}", bold=True)
        print_table(
            ["", ""], [[key, value] for key, value in event.items() if key not in ("name", "version")]
        )
    for delivery in deliveries:
        typer.secho(f"\n{delivery['handler']}", bold=True)
        print_table(["", ""], [[key, value] for key, value in delivery.items() if key != "handler"])


@app.command(epilog="Example: platform events retry --all-dead --handler notification.welcome_mail")
def retry(
    identities: Annotated[
        list[UUID] | None, typer.Argument(metavar="[ID]...", help="Dead or parked deliveries.")
    ] = None,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="Every dead delivery.")] = False,
    handler: Annotated[str | None, typer.Option(help="With --all-dead: only those of this handler.")] = None,
    json: AsJson = False,
) -> None:
    """Make dead or parked deliveries due again, with all their attempts; a running worker takes them at once."""
    if bool(identities) == all_dead:
        raise typer.BadParameter("name the deliveries, or say --all-dead; not both")
    if handler and not all_dead:
        raise typer.BadParameter("--handler narrows --all-dead, which is not given")
    retried, refused = with_kernel(lambda kernel: _retry(kernel, identities or [], all_dead, handler))
    if json:
        print_json({"retried": retried, "refused": [{"id": i, "reason": reason} for i, reason in refused]})
    else:
        typer.echo(f"{len(retried)} {'delivery is' if len(retried) == 1 else 'deliveries are'} due again.")
        for identity, reason in refused:
            typer.secho(f"{identity}: {reason}", fg="red", err=True)
    raise typer.Exit(1 if refused else 0)


def _short(error: str | None) -> str:
    text = (error or "").partition("\n")[0]
    return text if len(text) <= 100 else f"{text[:99]}…"


async def _deliveries(kernel: Kernel, status: str | None, handler: str | None, limit: int) -> list[Any]:
    from platform_core._operations import ListDeliveries
    from platform_core.domain import PageRequest

    found: list[Any] = []
    cursor: str | None = None
    while len(found) < limit:
        page = PageRequest(limit=min(limit - len(found), _PAGE_COUNT), cursor=cursor)
        answer = await kernel.bus.ask(ListDeliveries(page=page, status=status, handler=handler))
        found += answer.items
        cursor = answer.next_cursor
        if cursor is None:
            break
    return found


async def _event_and_deliveries(
    kernel: Kernel, identity: UUID
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    from platform_core._pools import KERNEL

    async with kernel.pools.reads(KERNEL, primary=True).connect() as connection:
        deliveries = await connection.fetch(
            "SELECT * FROM platform.deliveries WHERE id = %(id)s OR event_id = %(id)s ORDER BY created_at",
            {"id": identity},
        )
        event_id = deliveries[0]["event_id"] if deliveries else identity
        events = await connection.fetch(
            "SELECT * FROM audit.domain_events WHERE id = %(id)s", {"id": event_id}
        )
    return events[0] if events else None, deliveries


async def _retry(
    kernel: Kernel, identities: list[UUID], all_dead: bool, handler: str | None
) -> tuple[list[UUID], list[tuple[UUID, str]]]:
    from platform_core._operations import RetryDelivery
    from platform_core.errors import DomainError

    if all_dead:
        identities = [delivery.id for delivery in await _deliveries(kernel, "dead", handler, 1_000_000)]
    retried: list[UUID] = []
    refused: list[tuple[UUID, str]] = []
    for identity in identities:
        try:
            await kernel.bus.execute(RetryDelivery(delivery_id=identity))
            retried.append(identity)
        except DomainError as error:
            refused.append((identity, error.message))
    return retried, refused
