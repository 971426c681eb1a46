"""`platform projections`: read models, how far they are, and how to make one anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from platform_core.cli._output import AsJson, console, print_json, print_table
from platform_core.cli._session import with_kernel

if TYPE_CHECKING:
    from platform_core._projections import Progress
    from platform_core.app import Kernel

app = typer.Typer(name="projections", help="Read models: how far they are, made anew.", no_args_is_help=True)

_WAIT_SECONDS: Final = 0.2
_LINES_COUNT: Final = 10
"""How many lines tell of progress where there is no terminal."""


@app.command("list", epilog="Example: platform projections list")
def list_projections(json: AsJson = False) -> None:
    """List read models: whether each is made, and how long the event waits that has waited longest."""
    rows = with_kernel(lambda kernel: kernel.replays.look())
    if json:
        print_json(rows)
        return
    print_table(
        ["projection", "status", "made", "behind (s)", "dead events", "requested (UTC)", "finished (UTC)"],
        [
            [
                row["name"],
                row["status"],
                _made(row["done_count"], row["total_count"]),
                f"{row['waiting_seconds']:.1f}",
                row["dead_count"],
                f"{row['requested_at']:%Y-%m-%d %H:%M:%S}",
                f"{row['finished_at']:%Y-%m-%d %H:%M:%S}" if row["finished_at"] else None,
            ]
            for row in rows
        ],
    )


@app.command(epilog="Example: platform projections rebuild posts")
def rebuild(
    name: Annotated[str, typer.Argument(help="Of the projection, as `list` tells.")], json: AsJson = False
) -> None:
    """
    Make a read model anew of its events, in place, while the platform goes on.

    Stopped half-way it goes on when this is run again, and workers go on with it by themselves. After a release that
    shows things another way, ask when no process of the one before is left: such a one shows them its own way.
    """
    with _shown(quiet=json) as show:
        progress = with_kernel(lambda kernel: _rebuild(kernel, name, show))
    if json:
        print_json({"projection": name, "aggregates": progress.done_count})
    else:
        typer.echo(f"{name} is made of the events of {progress.done_count} aggregates.")


async def _rebuild(kernel: Kernel, name: str, show: Callable[[Progress], None]) -> Progress:
    from platform_core._projection_operations import RebuildProjection
    from platform_core._projections import Progress

    await kernel.announce()
    await kernel.bus.execute(RebuildProjection(name=name))
    last = Progress()
    while True:
        progress = await kernel.replays.step(name)
        if progress.is_done:
            # a worker may have taken the last batch
            return progress if progress.total_count is not None else last
        if progress.is_waiting:
            await asyncio.sleep(_WAIT_SECONDS)
            continue
        last = progress
        show(progress)


@contextmanager
def _shown(*, quiet: bool) -> Iterator[Callable[[Any], None]]:
    """Yield where progress goes: a bar on a terminal, some lines elsewhere, nowhere for scripts."""
    screen = console()
    if quiet:
        yield lambda _progress: None
    elif screen.is_terminal:
        from rich.progress import Progress as Bar

        with Bar(console=screen) as bar:
            task = bar.add_task("replaying", total=None)
            yield lambda now: bar.update(task, completed=now.done_count, total=now.total_count)
    else:
        told: set[int] = set()

        def tell(now: Any) -> None:
            part = now.done_count * _LINES_COUNT // max(now.total_count or 1, 1)
            if part not in told:
                told.add(part)
                typer.echo(f"{_made(now.done_count, now.total_count)} aggregates")

        yield tell


def _made(done: int, total: int | None) -> str:
    return str(done) if total is None else f"{done} of {total}"
