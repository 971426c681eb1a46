"""`platform dev`: everything at once, for the first minute and for every day of development."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="dev")


@app.command(
    epilog="Example: platform dev\n\nExample: DATABASE_URL=postgresql://me@localhost/shop platform dev --reload"
)
def dev(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the API; every other port is a free one.")
    ] = 8000,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help="Where data and generated secrets are kept.", show_default=".platform"
        ),
    ] = None,
    modules: Annotated[
        str | None, typer.Option(help="Only these modules, comma-separated; all installed by default.")
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Restart the application when its source changes.")
    ] = False,
) -> None:
    """
    Run the whole platform on this machine: database, Redis, migrations, seeds, API, worker, scheduler, mail catcher.

    Nothing has to be installed or configured. DATABASE_URL, REDIS_URL and SMTP_URL, in the environment or in .env,
    replace the embedded part. Data survive a restart; Ctrl-C stops all of it.
    """
    from platform_core import dev as development

    development.run(host=host, port=port, data_dir=data_dir, modules=modules, reload=reload)
