"""
Write `docs/reference/` from the code, so that it cannot be wrong: hooks, settings, problems and errors, events, the
command line, HTTP, grades, and the pictures of the shipped modules.

    uv run python tools/reference.py            write the pages
    uv run python tools/reference.py --check    exit 1 when a page is out of date

A test runs the check; nothing here is written by hand.
"""

import argparse
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent))

import surface_page  # the path is made above
import typer.main
from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from platform_core import ENTRY_POINT_GROUP, _development, errors, hookspecs
from platform_core._conformance.catalogue import CHECKS
from platform_core._conformance.grades import Grade
from platform_core._documentation import Canvas, Handbook, handbook_of
from platform_core._documentation.files import texts
from platform_core.app import Kernel
from platform_core.cli._root import root
from platform_core.deprecations import deprecation_of
from platform_core.errors import DomainError, PlatformError
from platform_core.http.problems import STATUS, title_of
from platform_core.settings import KernelSettings, read_settings, variable_name

REPOSITORY: Final = Path(__file__).parent.parent
TARGET: Final = REPOSITORY / "docs" / "reference"
NOTE: Final = "<!-- written by tools/reference.py from the code; do not edit -->"
SHIPPED: Final = (
    "user_management",
    "file_management",
    "project_management",
    "notification",
    "courses",
    "orders",
    "posts",
)
"""Other plugins may be installed beside these; the committed pages speak of the repository's own."""


_GENERIC: Final = ("help", "install_completion", "show_completion")


def main() -> int:
    """Write or check the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    import surface  # here, because it asks this module what there is

    if surface.run(check=check):
        return 1
    stale = [name for name, text in pages().items() if current(name) != text]
    if not check:
        TARGET.mkdir(parents=True, exist_ok=True)
        for name, text in pages().items():
            (TARGET / name).write_text(text, encoding="utf-8")
    if stale:
        print(("out of date: " if check else "written: ") + ", ".join(stale))
    return 1 if check and stale else 0


def pages() -> dict[str, str]:
    """Return every page's text by file name."""
    return {
        "hooks.md": _page("Hooks", _hooks()),
        "settings.md": _page("Settings", _settings()),
        "problems.md": _page("Problems and errors", _problems()),
        "events.md": _page("Events", _events(shipped())),
        "http.md": _page("HTTP", _http(shipped())),
        "commands.md": _page("Commands", _commands()),
        "grades.md": _page("Grades of modules", _grades()),
        "surface.md": _page("The published surface", surface_page.lines()),
        **{name: text for name, text in texts(shipped()).items() if name.endswith(".svg")},
    }


@cache
def shipped() -> Handbook:
    """Return what the repository's own modules declare; loaded with made-up secrets, and connected to nothing."""
    source = {
        "PLATFORM_ENV": "development",
        "PLATFORM_MODULES": ",".join(SHIPPED),
        "DATABASE_URL": "postgresql:///nowhere",
        "REDIS_URL": "redis://nowhere",
        "PLATFORM_STARTUP_TIMEOUT_SECONDS": "300",  # a busy machine must not leave a module out
    }
    store = _development.SecretStore(Path(".platform"), keeps=False)
    source = _development.with_module_secrets(_development.defaults(source, Path(".platform"), store), store)
    return handbook_of(Kernel.load(read_settings(source), source))


def current(name: str) -> str:
    """Return a page as it is on disk; empty when it is missing."""
    path = TARGET / name
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _page(title: str, lines: Iterable[str]) -> str:
    return "\n".join([f"# {title}", "", NOTE, "", *lines]).rstrip() + "\n"


def _hooks() -> Iterator[str]:
    yield "A plugin implements a hook as a function of the same name in its `plugin.py`, marked with"
    yield "`platform_core.hookimpl`. Hooks return declarations (`platform_core.declarations`) and do no I/O."
    yield ""
    modules = [("platform_core.hookspecs", hookspecs)]
    for name in SHIPPED:
        modules += _published_hooks(name)
    for owner, module in modules:
        yield f"## `{owner}`"
        yield ""
        for name, function in vars(module).items():
            if inspect.isfunction(function) and hasattr(function, "platform_core_spec"):
                yield from _hook(name, function)


def _published_hooks(plugin: str) -> list[tuple[str, Any]]:
    try:
        return [(f"{plugin}.hookspecs", importlib.import_module(f"{plugin}.hookspecs"))]
    except ModuleNotFoundError:
        return []


def _hook(name: str, function: Any) -> Iterator[str]:
    returns = function.__annotations__.get("return", "None")
    yield f"### `{name}() -> {returns}`"
    yield ""
    for line in (inspect.getdoc(function) or "").splitlines():
        label = re.match(r"(When called|Return|Must not|On error|Since): ", line)
        if label:
            yield f"- **{label[1]}:** {line[label.end() :]}"
        else:
            yield line.strip() if not line.startswith("    ") else f"  {line.strip()}"
    yield ""


def _grades() -> Iterator[str]:
    yield "What `platform modules check --conformance` looks at, and which grade cannot be had without it; see"
    yield "[how good a module is](../conformance.md)."
    yield ""
    for grade in (Grade.BRONZE, Grade.SILVER, Grade.GOLD):
        yield f"## {grade.label.capitalize()}: {grade.means}"
        yield ""
        yield "| check | what is so | why it matters |"
        yield "|---|---|---|"
        for check in CHECKS:
            if check.grade is grade:
                yield f"| `{check.name}` | {_cell(check.promise)} | {_cell(check.why)} |"
        yield ""


def _settings() -> Iterator[str]:
    yield "Settings come from the environment; `NAME_FILE` names a file that holds the value of `NAME`. In"
    yield "development a `.env` file completes it. `platform config show` tells where each value comes from."
    yield ""
    yield "## `platform`"
    yield ""
    yield from _table(KernelSettings, lambda name, field: field.alias or name)
    for plugin in SHIPPED:
        model = _settings_model(plugin)
        if model is not None:
            yield f"## `{plugin}`"
            yield ""
            yield from _table(
                model, lambda name, field, plugin=plugin: field.alias or variable_name(plugin, name)
            )


def _settings_model(plugin: str) -> type[BaseModel] | None:
    entry = next(e for e in metadata.entry_points(group=ENTRY_POINT_GROUP) if e.name == plugin)
    hook = getattr(entry.load(), "register_settings", None)
    return hook() if hook else None


def _table(model: type[BaseModel], variable: Any) -> Iterator[str]:
    yield "| variable | default | what it is for |"
    yield "|---|---|---|"
    for name, field in model.model_fields.items():
        deprecated = deprecation_of(field)
        told = f"{field.description or ''}{f' ({deprecated})' if deprecated else ''}"
        yield f"| `{variable(name, field)}` | {_default(field)} | {_cell(told)} |"
    yield ""


def _default(field: Any) -> str:
    if field.is_required():
        return "**required**"
    if field.default_factory is not None:
        return "*depends on the machine*"  # what it is on this one must not stand in the pages
    value = field.get_default()
    if value is None or value is PydanticUndefined or value == ():
        return ""
    if isinstance(value, SecretStr):
        return "*secret*"
    if isinstance(value, tuple) and not hasattr(value, "seconds"):
        value = ",".join(map(str, value))
    return f"`{value}`"


def _problems() -> Iterator[str]:
    yield "Every refusal over HTTP is `application/problem+json` (RFC 9457); its `type` is `/problems/<slug>`."
    yield ""
    yield "| slug | status | meaning | from |"
    yield "|---|---|---|---|"
    for name in (*(f"{plugin}.plugin" for plugin in SHIPPED), "platform_core.app"):
        importlib.import_module(name)
    rows = {
        (error.slug, error.__module__.partition(".")[0]): error
        for error in _descendants(DomainError)
        if error.__module__.partition(".")[0] in ("platform_core", *SHIPPED) and hasattr(error, "kind")
    }
    for (slug, owner), error in sorted(rows.items()):
        yield f"| `{slug}` | {STATUS[error.kind]} | {_cell(title_of(error))} | `{owner}` |"
    yield ""
    yield "## Errors of start-up and operation"
    yield ""
    yield "| error | meaning |"
    yield "|---|---|"
    for error in _descendants(PlatformError):
        if error.__module__ == errors.__name__ and not issubclass(error, DomainError):
            yield f"| `{error.__name__}` | {_cell(title_of(error))} |"
    yield ""


def _events(handbook: Handbook) -> Iterator[str]:
    yield "What modules tell each other: stored with the change that it is about, delivered to every handler at least"
    yield "once, with effects in the database exactly once. Fields are JSON; identifiers and times are text in it."
    yield "`platform docs` draws the flow of those that are installed; of the shipped ones it is this:"
    yield ""
    yield "![Every event on the left, every handler on the right](events.svg)"
    yield ""
    for module in handbook.modules:
        if module.publishes:
            yield from (f"## `{module.name}`", "")
        for event in module.publishes:
            yield from (f"### `{event.name}` v{event.version}", "", event.about, "")
            yield from ("| field | type |", "|---|---|")
            yield from (f"| `{name}` | `{_cell(kind)}` |" for name, kind in event.fields.items())
            yield ""
            if event.handlers:
                handlers = ", ".join(f"`{handler}`" for _, handler in event.handlers)
                yield from (f"Given to {handlers}.", "")


def _http(handbook: Handbook) -> Iterator[str]:
    yield "Every route of the shipped modules, and who may call it; bodies and answers are in the OpenAPI document"
    yield "(`platform openapi`, or `/docs` of a running platform). What all routes have in common, such as problems,"
    yield "pages, `ETag` and `Idempotency-Key`, is not repeated in the last column."
    yield ""
    for module in handbook.modules:
        if module.routes:
            yield from (f"## `{module.name}`", "", *_routes(module), "")


def _routes(module: Canvas) -> Iterator[str]:
    yield from ("| route | what it does | who | refuses |", "|---|---|---|---|")
    for route in module.routes:
        refusals = ", ".join(f"`{refusal.partition(':')[0]}`" for refusal in route.refuses)
        who = f"`{route.access}`" if ":" in route.access else route.access
        yield f"| `{route.method} {route.path}` | {_cell(route.summary)} | {who} | {refusals} |"


def _descendants(root_class: type[Any]) -> Iterator[type[Any]]:
    for child in root_class.__subclasses__():
        yield child
        yield from _descendants(child)


def _commands() -> Iterator[str]:
    group: Any = root()
    group = typer.main.get_command(group) if isinstance(group, typer.Typer) else group
    context = group.make_context("platform", [], resilient_parsing=True)
    yield "Exit codes: 0 done, 1 failed, 2 wrong usage. Every command explains itself with `--help`."
    yield ""
    for name in group.list_commands(context):
        yield from _command(context, group.get_command(context, name), f"platform {name}", 2)


def _command(parent: Any, command: Any, path: str, depth: int) -> Iterator[str]:
    yield f"{'#' * min(depth, 4)} `{path}`"
    yield ""
    yield from _help(command)
    if hasattr(command, "list_commands"):
        context = command.make_context(path.rpartition(" ")[2], [], parent=parent, resilient_parsing=True)
        for name in command.list_commands(context):
            yield from _command(context, command.get_command(context, name), f"{path} {name}", depth + 1)
        return
    options = [parameter for parameter in command.params if parameter.name not in _GENERIC]
    if options:
        yield "| option | what it does |"
        yield "|---|---|"
        for parameter in options:
            label = ", ".join((*parameter.opts, *parameter.secondary_opts))
            yield f"| `{label}` | {_cell(getattr(parameter, 'help', '') or '')} |"
        yield ""


def _help(command: Any) -> Iterator[str]:
    text = inspect.cleandoc(re.sub(r"\x08\n?", "", command.help or ""))
    for block in text.split("\n\n"):
        if block.strip():
            is_example = any(line.strip().startswith(("platform ", "$ ")) for line in block.splitlines())
            yield f"```shell\n{block.strip()}\n```" if is_example and "\n" in block else block.strip()
            yield ""


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


if __name__ == "__main__":
    sys.exit(main())
