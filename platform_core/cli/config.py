"""`platform config`: every setting of the kernel and the modules, and where its value comes from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from platform_core._environment import chosen_modules, environment, is_development
from platform_core.cli._output import AsJson, print_json, print_table
from platform_core.cli._session import DOTENV, data_dir, read_environment
from platform_core.deprecations import deprecation_of

app = typer.Typer(
    name="config", help="Every setting, where it comes from, what it means.", no_args_is_help=True
)


@app.callback()
def _group() -> None:
    """Every setting, where it comes from, what it means."""


@dataclass(frozen=True)
class Setting:
    """
    One setting as people should see it.

    Attributes:
        value: masked if it is a secret; None when it is not set.
        source: `environment`, `.env`, a file, `default`, `development` (made by `platform dev`) or `missing`.
    """

    module: str
    variable: str
    value: str | None
    source: str
    is_secret: bool
    description: str


@app.command(epilog="Example: platform config show --module user_management --json")
def show(
    module: Annotated[
        str | None, typer.Option(help="Only the settings of this module; `platform` is the kernel.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Show every setting with its variable, its value (secrets masked), where that comes from, and what it is for."""
    settings = [setting for setting in _settings() if module in (None, setting.module)]
    if not settings:
        raise typer.BadParameter(f"there is no module {module} with settings")
    if json:
        print_json(settings)
        return
    rows = [[s.variable, s.value if s.value is not None else "", s.source, s.description] for s in settings]
    print_table(["variable", "value", "source", "what it is for"], rows)


@app.command(epilog="Example: platform config secrets ./secrets")
def secrets(
    directory: Annotated[Path, typer.Argument(help="Where they are kept; made if missing.")],
    json: AsJson = False,
) -> None:
    """
    Make the secrets that this set of modules cannot start without: one file each, named by its variable.

    Nothing that is there already is touched, so it may run again after a module was added. Mount the files, and name
    each with NAME_FILE; on Kubernetes: kubectl create secret generic platform --from-file=./secrets
    """
    from platform_core import _development
    from platform_core._discovery import discover
    from platform_core._hooks import Hooks
    from platform_core.settings import STARTUP_TIMEOUT_SECONDS, KernelSettings

    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    there = {path.name: str(path) for path in directory.iterdir() if path.is_file()}
    hooks = Hooks(discover(chosen_modules(read_environment())), timeout_seconds=STARTUP_TIMEOUT_SECONDS)
    made = _development.missing_secrets(None, KernelSettings, there, mark="")
    for module, model in hooks.collect("register_settings").items():
        made |= _development.missing_secrets(module, model, there, mark="")
    for name, value in made.items():
        descriptor = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(value)
    if json:
        print_json({"made": sorted(made), "kept": sorted(there)})
    else:
        typer.echo(
            f"Made: {', '.join(sorted(made)) or 'none'}. There already: {', '.join(sorted(there)) or 'none'}."
        )


def _settings() -> Iterator[Setting]:
    from platform_core import _development
    from platform_core._discovery import discover
    from platform_core._hooks import Hooks
    from platform_core.settings import STARTUP_TIMEOUT_SECONDS, KernelSettings, variable_name

    source = read_environment()
    made: dict[str, str] = {}
    if is_development(source):
        directory = data_dir(source)
        store = _development.SecretStore(directory, keeps=False)
        made = store.values | (_development.running_addresses(directory) or {})
        made |= {
            name: value
            for name, value in _development.defaults(source, directory, store).items()
            if name not in source
        }
    values = {**made, **source}
    for name, info in KernelSettings.model_fields.items():
        yield _setting("platform", str(info.alias or name), info, values, made)
    hooks = Hooks(discover(chosen_modules(source)), timeout_seconds=STARTUP_TIMEOUT_SECONDS)
    for owner, model in hooks.collect("register_settings").items():
        for name, info in model.model_fields.items():
            yield _setting(owner, info.alias or variable_name(owner, name), info, values, made)


def _setting(
    module: str, variable: str, info: Any, values: Mapping[str, str], made: Mapping[str, str]
) -> Setting:
    is_secret = "Secret" in str(info.annotation)
    value, where = _value(variable, info, values, made)
    deprecated = deprecation_of(info)
    description = f"{info.description or ''}{f' ({deprecated})' if deprecated else ''}"
    return Setting(module, variable, _shown(value, is_secret), where, is_secret, description)


def _value(variable: str, info: Any, values: Mapping[str, str], made: Mapping[str, str]) -> tuple[Any, str]:
    if path := values.get(f"{variable}_FILE"):
        if variable == "PLATFORM_MODULES" and values.get(variable):  # the one that goes with its file
            return values[variable], f"environment, chosen of file {path}"
        return "…", f"file {path}"
    if values.get(variable):
        if environment().get(variable):
            return values[variable], "environment"
        return values[variable], "development" if variable in made else str(DOTENV)
    if info.is_required():
        return None, "missing"
    default = info.get_default(call_default_factory=True)
    return (
        ",".join(map(str, default))
        if isinstance(default, tuple) and not hasattr(default, "_fields")
        else default
    ), "default"


def _shown(value: Any, is_secret: bool) -> str | None:
    from platform_core.logs import masked

    if value is None:
        return None
    return "********" if is_secret else str(masked(str(value)))
