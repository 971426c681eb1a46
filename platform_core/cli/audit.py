"""`platform audit`: whether the trail is what it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from platform_core.cli._output import AsJson, print_json
from platform_core.cli._session import connected_environment

if TYPE_CHECKING:
    from platform_core._audit import Verdict

app = typer.Typer(name="audit", help="The audit trail: has anybody tampered with it?", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Check the audit trail."""


@app.command(epilog="Example: platform audit verify --expected-head $(cat /safe/place/head)")
def verify(
    expected_head: Annotated[
        str | None,
        typer.Option(
            help="A head that an earlier run printed and you kept elsewhere; only so a cut-off tail is noticed."
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Recompute the hash chain from its beginning; exit code 1 and the first bad line if it does not hold."""
    verdict = _verdict(expected_head)
    if json:
        print_json(
            {"ok": verdict.broken_at is None, **{name: getattr(verdict, name) for name in verdict.__slots__}}
        )
    elif verdict.broken_at is None:
        typer.echo(
            f"The trail holds: {verdict.lines_count} lines in the chain, {verdict.waiting_count} waiting to be chained."
        )
        typer.echo(f"Its head is {verdict.head}; keep it outside of this database.")
    else:
        typer.secho(
            f"Error: the trail was tampered with at link {verdict.broken_at}: {verdict.problem}.",
            err=True,
            fg="red",
        )
        typer.echo(
            f"The {verdict.lines_count} links before hold; compare with a backup from that link on.", err=True
        )
    raise typer.Exit(0 if verdict.broken_at is None else 1)


def _verdict(expected_head: str | None) -> Verdict:
    import asyncio

    import psycopg

    from platform_core import _audit
    from platform_core._pools import libpq_url
    from platform_core.settings import read_settings

    async def walk(url: str) -> Verdict:
        async with await psycopg.AsyncConnection.connect(
            libpq_url(url), autocommit=True, connect_timeout=10
        ) as connection:
            return await _audit.verify(connection, expected_head=expected_head)

    # no kernel is loaded: the trail can be checked whatever modules are installed or broken
    with connected_environment() as source:
        return asyncio.run(walk(read_settings(source).database_url.get_secret_value()))
