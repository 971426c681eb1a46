"""The root of the command line: which commands there are, without importing any of them."""

from __future__ import annotations

import importlib
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from platform_core import __version__
from platform_core.cli import _plugins
from platform_core.cli._errors import show_tracebacks
from platform_core.cli._output import command_of


class _Entry(NamedTuple):
    """Where a command is, and one line about it."""

    target: str
    summary: str


_SECTIONS: Final[dict[str, dict[str, _Entry]]] = {
    "Run": {
        "dev": _Entry(
            "platform_core.cli.dev:app", "The whole platform on this machine, nothing else needed."
        ),
        "serve": _Entry("platform_core.cli.processes:serve_app", "Answer HTTP requests."),
        "worker": _Entry("platform_core.cli.processes:worker_app", "Handle events and jobs."),
        "scheduler": _Entry("platform_core.cli.processes:scheduler_app", "Start what is due by the clock."),
    },
    "Data": {
        "db": _Entry("platform_core.cli.db:app", "Migrations: upgrade, downgrade, look, write new ones."),
        "seed": _Entry("platform_core.cli.seed:app", "Put in place the data that modules need."),
    },
    "Look and repair": {
        "modules": _Entry(
            "platform_core.cli.modules:app", "The installed modules, and whether they fit together."
        ),
        "events": _Entry(
            "platform_core.cli.events:app", "Deliveries of events: waiting, failed, to be retried."
        ),
        "sagas": _Entry(
            "platform_core.cli.sagas:app", "Sagas: under way, taken back, waiting for a decision."
        ),
        "projections": _Entry(
            "platform_core.cli.projections:app", "Read models: how far they are, made anew."
        ),
        "audit": _Entry("platform_core.cli.audit:app", "The audit trail: has anybody tampered with it?"),
        "config": _Entry(
            "platform_core.cli.config:app", "Every setting, where it comes from, what it means."
        ),
        "docs": _Entry("platform_core.cli.docs:app", "What is installed, as a page and as files."),
        "openapi": _Entry(
            "platform_core.cli.openapi:app", "Print the OpenAPI document of the installed modules."
        ),
    },
}
_ENTRIES: Final = {name: entry for section in _SECTIONS.values() for name, entry in section.items()}


class _Root(TyperGroup):
    """Finds commands by name; those of plugins by their manifests."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*_ENTRIES, *_plugins.groups(reserved=_ENTRIES)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = _ENTRIES.get(cmd_name)
        if entry is None:
            return _plugins.command(cmd_name, reserved=_ENTRIES)
        module, _, attribute = entry.target.partition(":")
        return command_of(getattr(importlib.import_module(module), attribute))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        # only the names count: for "did you mean"
        self.commands = dict.fromkeys(self.list_commands(ctx), TyperCommand(None))
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the overview by hand: it needs neither the commands nor Rich, and so appears at once."""
        self.format_usage(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text(self.help or "")
        contributed = _plugins.groups(reserved=_ENTRIES)
        sections = {title: [(n, e.summary) for n, e in s.items()] for title, s in _SECTIONS.items()}
        sections["Modules"] = [(name, group.summary) for name, group in contributed.items()]
        width = max(len(name) for rows in sections.values() for name, _ in rows)
        for title, rows in sections.items():
            if rows:
                with formatter.section(typer.style(title, bold=True)):
                    formatter.write_dl([(name.ljust(width), summary) for name, summary in rows])
        with formatter.section(typer.style("Options", bold=True)):
            formatter.write_dl(
                [record for param in self.get_params(ctx) if (record := param.get_help_record(ctx))]
            )
        with formatter.section(typer.style("Example", bold=True)):
            formatter.write_dl(
                [("platform dev", "start here"), ("platform serve --help", "more about one command")]
            )


def root() -> Any:
    """Return the command that all others hang on."""
    app = typer.Typer(name="platform", cls=_Root, add_completion=False, no_args_is_help=True)
    app.callback()(_options)
    return typer.main.get_command(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"platform-core {__version__}")
        raise typer.Exit


def _options(
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            envvar="PLATFORM_DEBUG",
            show_envvar=False,
            help="Show tracebacks of errors (PLATFORM_DEBUG=1).",
        ),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Print the version and end.", callback=_version)
    ] = False,
) -> None:
    """A modular platform: one kernel, and the modules that are installed."""
    if debug:
        show_tracebacks()
