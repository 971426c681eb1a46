"""`platform seed`, and `python -m seeds`: put in place the data that modules and the deployment need."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from platform_core.cli._output import AsJson, print_json
from platform_core.cli._session import with_kernel

if TYPE_CHECKING:
    from platform_core._seeds import SeedReport

app = typer.Typer(name="seed", help="Put in place the data that modules need.")


class Environment(StrEnum):
    """Which seeds are right: the environment's own tier and those below."""

    DEVELOPMENT = "development"
    TEST = "test"
    STAGING = "staging"
    PRODUCTION = "production"


@app.callback(
    invoke_without_command=True, epilog="Example: platform seed --env development --module user_management"
)
def seed(
    env: Annotated[
        Environment | None,
        typer.Option(
            "--env",
            help="production and staging: essential seeds only; development: those and development's; test: all."
            " By default PLATFORM_ENV.",
        ),
    ] = None,
    essential_only: bool = typer.Option(False, "--essential-only", help="Only what production needs too."),
    module: str | None = typer.Option(
        None, help="Only this module's; `seeds` is the deployment's own folder."
    ),
    json: AsJson = False,
) -> None:
    """
    Run seeds: of every module in plugin order, then of the folder seeds/.

    They change nothing the second time, so running them again does no harm.
    """
    from platform_core._seeds import run_seeds

    def told(report: SeedReport) -> None:
        if not json:
            typer.echo(_line(report))

    reports = with_kernel(
        lambda kernel: run_seeds(
            kernel, env.value if env else None, essential_only=essential_only, module=module, progress=told
        )
    )
    if json:
        print_json(reports)
    elif not reports:
        typer.echo("No seeds are there for this.")


def _line(report: SeedReport) -> str:
    state = "applied" if report.runs_count == 1 else f"already there, run {report.runs_count} times by now"
    return f"{report.module}.{report.name} ({report.tier}): {state}, {report.duration_ms} ms"
