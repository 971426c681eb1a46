"""`platform openapi`: the contract of the installed modules, for generators of clients."""

from __future__ import annotations

import typer

from platform_core.cli._output import print_json
from platform_core.cli._session import assembled_environment, load_kernel

app = typer.Typer(name="openapi")


@app.command(epilog="Example: platform openapi > openapi.json")
def openapi() -> None:
    """Print the OpenAPI 3.1 document of the installed modules; nothing has to run for it."""
    kernel = load_kernel(assembled_environment())
    print_json(kernel.app().openapi())
