"""`platform docs`: what is installed, as a page to search and as files to keep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from platform_core.cli._output import AsJson, print_json
from platform_core.cli._session import assembled_environment, load_kernel

if TYPE_CHECKING:
    from platform_core._documentation import Handbook
    from platform_core.serve import Lifetime

app = typer.Typer(name="docs")


@app.command(epilog="Example: platform docs\n\nExample: platform docs --output build/platform")
def docs(
    output: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Write Markdown, pictures and the page into this folder."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where the page is served otherwise; 0 takes a free port.")
    ] = 8001,
    json: AsJson = False,
) -> None:
    """
    Show what is installed: a canvas of each module, C4 diagrams, the flow of events, catalogues of events, permissions,
    hooks and settings.

    It is made of what the modules declare; nothing has to run for it. Without --output the page is served on this
    machine until Ctrl-C.
    """
    from platform_core import _documentation

    handbook = _documentation.handbook_of(load_kernel(assembled_environment()))
    if json:
        print_json(handbook)
    elif output is not None:
        written = _documentation.write(handbook, output)
        typer.echo(f"{output}: {len(written)} files. Begin with {output / 'index.html'}, or README.md.")
    else:
        _serve(handbook, port)


def _serve(handbook: Handbook, port: int) -> None:
    from platform_core import _documentation, serve
    from platform_core._http_server import bind, http_url

    site = _documentation.Site(handbook)
    with bind("127.0.0.1", port) as listener:

        async def main(lifetime: Lifetime) -> None:
            lifetime.started()
            typer.echo(f"What is installed: {http_url(listener)}\nCtrl-C stops it.")
            await serve.run_parts([serve.side_part("docs", site.app, listener)], lifetime)

        serve.run(main)
