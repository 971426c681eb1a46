"""The same as files: Markdown with Mermaid for a repository, pictures as SVG, and the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from platform_core._documentation import diagrams, flow
from platform_core._documentation.canvas import Canvas, EventCard, Handbook
from platform_core._documentation.page import page
from platform_core._modules import svg
from platform_core._modules.graph import mermaid

T = TypeVar("T")

_SIGNS: Final = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]<>#"} | {"&": "&amp;", "~": "&#126;"})
_NOTE: Final = "<!-- written by `platform docs`; do not edit -->"


def write(handbook: Handbook, directory: Path) -> Sequence[str]:
    """
    Write everything into a folder, which is made where it is missing; other files in it stay.

    Returns: the paths that were written, below the folder.
    """
    written = texts(handbook)
    for path, text in written.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return list(written)


def texts(handbook: Handbook) -> Mapping[str, str]:
    """Return every file: path → text."""
    return {
        "index.html": page(handbook),
        "README.md": _page("What is installed", _overview(handbook)),
        "events.md": _page("Events", _events(handbook)),
        "permissions.md": _page("Permissions", _permissions(handbook)),
        **{
            f"modules/{module.name}.md": _page(module.title, _module(module, handbook.names))
            for module in handbook.modules
        },
        "context.svg": diagrams.svg(diagrams.context(handbook)) + "\n",
        "containers.svg": diagrams.svg(diagrams.containers(handbook)) + "\n",
        "components.svg": svg.svg(handbook.graph) + "\n",
        "events.svg": flow.svg(handbook) + "\n",
    }


def _page(title: str, lines: Iterable[str]) -> str:
    return "\n".join([f"# {_text(title)}", "", _NOTE, "", *lines]).rstrip() + "\n"


def _overview(handbook: Handbook) -> Iterator[str]:
    yield f"Platform Core {handbook.version} and the modules beside it;"
    yield "[index.html](index.html) is the same, to search and to filter."
    yield ""
    yield from _table(
        ("module", "version", "", "what it is for"),
        [
            (f"[{_text(m.title)}](modules/{m.name}.md)", m.version, m.status, _text(m.purpose))
            for m in handbook.modules
        ],
    )
    for title, drawing in (
        ("Context", diagrams.mermaid(diagrams.context(handbook))),
        ("Containers", diagrams.mermaid(diagrams.containers(handbook))),
        ("Components", mermaid(handbook.graph)),
    ):
        yield from (f"## {title}", "", "```mermaid", drawing, "```", "")
        yield from (f"[As a picture]({title.lower()}.svg).", "")


def _events(handbook: Handbook) -> Iterator[str]:
    yield from ("```mermaid", diagrams.event_flow_mermaid(handbook), "```", "")
    yield from ("[Every event and every handler, as a picture](events.svg).", "")
    for event in handbook.events:
        yield from _event(event)


def _event(event: EventCard) -> Iterator[str]:
    yield from (f"## `{event.name}` v{event.version}", "", _text(event.about), "")
    yield from (f"Published by [{event.module}](modules/{event.module}.md).", "")
    yield from _table(("field", "type"), [(f"`{name}`", f"`{kind}`") for name, kind in event.fields.items()])
    yield from _table(
        ("given to", "handler"),
        [(f"[{name}](modules/{name}.md)", f"`{handler}`") for name, handler in event.handlers],
    )


def _permissions(handbook: Handbook) -> Iterator[str]:
    yield from _table(
        ("permission", "allows", "declared by", "asked for by"),
        [
            (
                f"`{p.name}`",
                _text(p.about),
                f"[{p.module}](modules/{p.module}.md)",
                ", ".join(f"`{r}`" for r in p.routes),
            )
            for p in handbook.permissions
        ],
    )


def _module(module: Canvas, here: Collection[str]) -> Iterator[str]:
    yield from (_text(module.purpose), "")
    yield from (
        f"`{module.name}` {module.version}, {module.boot}, from `{module.distribution}`: {module.status}.",
        "",
    )
    if module.error:
        yield from (f"> {_text(module.error)}", "")
    yield from _list("Paths", module.paths, lambda path: f"`{path}`")
    yield from _chapter(
        "Routes",
        ("", "route", "", "who"),
        [(r.method, f"`{r.path}`", _text(r.summary), _text(r.access)) for r in module.routes],
    )
    yield from _chapter(
        "Commands",
        ("command", "", "answers"),
        [(f"`{m.name}`", _text(m.about), f"`{m.answers}`") for m in module.commands],
    )
    yield from _chapter(
        "Queries",
        ("query", "", "answers"),
        [(f"`{m.name}`", _text(m.about), f"`{m.answers}`") for m in module.queries],
    )
    yield from _chapter(
        "Events that it publishes",
        ("event", "", "given to"),
        [
            (f"`{e.name}`", _text(e.about), ", ".join(dict.fromkeys(name for name, _ in e.handlers)))
            for e in module.publishes
        ],
    )
    yield from _chapter(
        "Events that it is given",
        ("event", "handler"),
        [(f"`{s.event}`", f"`{s.name}`") for s in module.subscriptions],
    )
    yield from _chapter(
        "Neighbours",
        ("", "modules"),
        [
            (how, ", ".join(_neighbour(name, here) for name in names))
            for how, names in (
                ("needs", module.needs),
                ("is needed by", module.needed_by),
                ("uses where they are there", module.neighbours),
                ("asks", module.asks),
                ("hears", module.consumes),
                ("has sagas act in", module.directs),
            )
            if names
        ],
    )
    yield from _list("Links", module.links, lambda link: f"`{link}`")
    yield from _list("Asks of the world", module.capabilities, _text)
    yield from _list("Hooks that it offers", module.hooks_offered, lambda h: f"`{h.name}`: {_text(h.about)}")
    yield from _list("Hooks that it implements", module.hooks_implemented, lambda h: f"`{h.name}`")
    yield from _chapter("Tables", ("table", ""), [(f"`{t.name}`", _text(t.about)) for t in module.tables])
    yield from _list("Permissions", module.permissions, lambda p: f"`{p.name}`: {_text(p.about)}")
    yield from _chapter(
        "Settings",
        ("variable", "default", ""),
        [(f"`{s.variable}`", f"`{s.default}`" if s.default else "", _text(s.about)) for s in module.settings],
    )
    yield from _list("Sagas", module.sagas, lambda saga: f"`{saga[0]}`: {_text('; '.join(saga[1]))}")
    yield from _list("Read models", module.projections, lambda name: f"`{name}`")
    yield from _list("Schedules", module.schedules, lambda schedule: f"`{schedule[0]}`, {schedule[1]}")
    yield from _list("Seeds", module.seeds, lambda seed: f"`{seed[0]}` ({seed[1]})")
    yield from _list("Deprecated", module.leaving, lambda one: f"{one.kind} `{one.name}`: {_text(one.says)}")
    yield from _list("Health checks", module.health_checks, lambda name: f"`{name}`")
    yield from _list(
        "Command line", list(module.cli_groups.items()), lambda g: f"`platform {g[0]}`: {_text(g[1])}"
    )


def _neighbour(name: str, here: Collection[str]) -> str:
    return f"[{name}]({name}.md)" if name in here else f"{_text(name)} (not installed)"


def _list(title: str, things: Sequence[T], show: Callable[[T], str]) -> Iterator[str]:
    if things:
        yield from (f"## {title}", "", *(f"- {show(thing)}" for thing in things), "")


def _chapter(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield from (f"## {title}", "")
        yield from _table(columns, rows)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield f"| {' | '.join(columns)} |"
        yield f"|{'---|' * len(columns)}"
        for row in rows:
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
        yield ""


def _text(text: str) -> str:
    """
    Return a text of a module as a line of GitHub's Markdown that says just that: no markup, no list, no HTML, no links.

    Only mail addresses stay what GitHub makes links of by itself.
    """
    line = " ".join(text.split()).translate(_SIGNS)
    line = re.sub(r"^(\d*)([-+.)])", r"\1\\\2", line)
    return re.sub(r"(?i)(www)\.", r"\1&#46;", line.replace("://", "&#58;//"))
