"""
The documentation of what is installed as one HTML file that needs no other: no host, no font, no library.

It is complete without its script, which adds searching, filtering, lighting up what belongs together, and the choice
between light and dark. Its own policy allows exactly this script and this style sheet, by their digests, so that
nothing that a module calls itself can become either.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Final, TypeVar

from platform_core._documentation import diagrams, flow
from platform_core._documentation.canvas import Canvas, EventCard, Handbook, HookCard, MessageCard, RouteCard
from platform_core._documentation.html import Child, Html, join, tag
from platform_core._modules import svg

T = TypeVar("T")

_SHOWN_COUNT: Final = 6
"""Of a long list; the rest is behind a click."""


def page(handbook: Handbook, *, build: str | None = None) -> str:
    """
    Return the page.

    Args:
        build: of a page that is served: it looks at `build` beside it, and loads itself anew when that says otherwise.
    """
    style, script = _asset("page.css"), _asset("page.js")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy()),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="build", content=build) if build else None,
        tag("title", "Platform: what is installed"),
        tag("style", Html(style)),
    )
    body = tag(
        "body",
        _top(handbook),
        tag("div", _menu(handbook), _main(handbook), class_="columns"),
        tag("script", Html(script)),
    )
    return "<!doctype html>\n" + tag("html", head, body, lang="en")


@cache
def policy() -> str:
    """Return what the page may do: run and wear what is written in it, and ask its own server for news."""
    script, style = (_digest(_asset(name)) for name in ("page.js", "page.css"))
    return (
        f"default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; base-uri 'none';"
        " form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _asset(name: str) -> str:
    return (files("platform_core._documentation") / name).read_text(encoding="utf-8")


# ── the frame ────────────────────────────────────────────────────────────────────────────────────


def _top(handbook: Handbook) -> Html:
    search = tag(
        "input",
        type="search",
        id="search",
        placeholder="Search: a route, an event, a table …",
        aria_label="Search everything on this page",
        aria_describedby="found",
        autocomplete="off",
    )
    choices = [tag("option", "every module", value="")]
    choices += [tag("option", module.title, value=module.name) for module in handbook.modules]
    return tag(
        "header",
        tag("a", "Skip to the content", href="#main", class_="skip"),
        tag("p", tag("strong", "Platform"), f" {handbook.version}", class_="brand"),
        search,
        tag("select", *choices, id="only", aria_label="Only this module"),
        tag("button", "Dark or light", id="theme", type="button"),
        tag("p", "", id="found", role="status", class_="soft"),
    )


def _menu(handbook: Handbook) -> Html:
    chapters = [
        ("The whole", "whole"),
        ("Flow of events", "flow"),
        ("Events", "events"),
        ("Permissions", "permissions"),
        ("Hooks", "hooks"),
        ("Settings", "settings"),
        *([("Deprecated", "deprecated")] if handbook.leaving else []),
    ]
    modules = [
        tag("li", tag("a", m.title, href=f"#module-{m.name}"), _status(m), data_module=m.name)
        for m in handbook.modules
    ]
    return tag(
        "nav",
        tag("ul", *(tag("li", tag("a", title, href=f"#{anchor}")) for title, anchor in chapters)),
        tag("h2", "Modules"),
        tag("ul", *modules),
        aria_label="Contents",
    )


def _main(handbook: Handbook) -> Html:
    return tag(
        "main",
        tag("h1", "What is installed"),
        _counts(handbook),
        _chapter(
            "whole",
            "The whole",
            tag("h3", "Context"),
            _figure(
                diagrams.svg(diagrams.context(handbook), "context"),
                "The platform among people and other systems",
            ),
            tag("h3", "Containers"),
            _figure(
                diagrams.svg(diagrams.containers(handbook), "containers"),
                "Processes, and where they keep things",
            ),
            tag("h3", "Components"),
            _figure(
                svg.svg(handbook.graph, "components"), "Modules, and what they have to do with each other"
            ),
        ),
        _chapter(
            "flow",
            "Flow of events",
            tag("p", "Point at an event, a handler or a module to see what belongs to it.", class_="soft"),
            _figure(flow.svg(handbook), "Published events on the left, their handlers on the right"),
        ),
        _chapter("modules", "Modules", *(_canvas(module, handbook.names) for module in handbook.modules)),
        _events(handbook),
        _permissions(handbook),
        _hooks(handbook),
        _settings(handbook),
        _leaving(handbook) if handbook.leaving else None,
        id="main",
    )


def _counts(handbook: Handbook) -> Html:
    modules = handbook.modules
    counts = (
        ("modules", len(modules) - 1),  # the kernel is none
        ("routes", sum(len(m.routes) for m in modules)),
        ("commands", sum(len(m.commands) for m in modules)),
        ("queries", sum(len(m.queries) for m in modules)),
        ("events", len(handbook.events)),
        ("handlers", sum(len(m.subscriptions) for m in modules)),
        ("tables", sum(len(m.tables) for m in modules)),
        ("permissions", len(handbook.permissions)),
        ("hooks", len(handbook.hooks)),
    )
    return tag(
        "dl", *(tag("div", tag("dt", name), tag("dd", str(count))) for name, count in counts), class_="counts"
    )


def _chapter(anchor: str, title: str, *children: Child) -> Html:
    return tag(
        "section",
        tag("h2", title, id=f"{anchor}-title"),
        *children,
        id=anchor,
        aria_labelledby=f"{anchor}-title",
    )


def _figure(picture: str, caption: str) -> Html:
    frame = tag("div", Html(picture), class_="picture", tabindex="0", role="group", aria_label=caption)
    return tag("figure", frame, tag("figcaption", caption))


# ── a module ─────────────────────────────────────────────────────────────────────────────────────


def _canvas(module: Canvas, here: Collection[str]) -> Html:
    head = tag(
        "header",
        tag("h3", tag("a", module.title, href=f"#module-{module.name}"), _status(module)),
        tag("p", module.purpose or "Nothing is said about its purpose.", class_="purpose"),
        tag(
            "p",
            tag("code", module.name),
            f" {module.version} · {module.boot} · from ",
            tag("code", module.distribution),
            class_="soft",
        ),
        tag("p", module.error, class_="error") if module.error else None,
    )
    cells = [
        _cell("Paths", module.paths, tag_code),
        _cell("Routes", module.routes, _route),
        _cell("Commands", module.commands, _message),
        _cell("Queries", module.queries, _message),
        _cell("Events that it publishes", module.publishes, lambda e: join(_event(e.name), _prose(e.about))),
        _cell(
            "Events that it is given",
            module.subscriptions,
            lambda s: join(_event(s.event), " → ", tag_code(s.name)),
        ),
        _cell("Hooks that it offers", module.hooks_offered, lambda h: _hook(h.name)),
        _cell("Hooks that it implements", module.hooks_implemented, lambda h: _hook(h.name)),
        _cell("Neighbours", list(_neighbours(module)), lambda pair: _neighbour(*pair, here)),
        _cell("Asks of the world", module.capabilities, tag_code),
        _cell("Tables", module.tables, lambda t: _named(t.name, t.about or ", ".join(t.columns))),
        _cell("Links", module.links, tag_code),
        _cell("Permissions", module.permissions, lambda p: join(_permission(p.name), _prose(p.about))),
        _cell(
            "Settings",
            module.settings,
            lambda s: tag("a", tag("code", s.variable), href=f"#setting-{s.variable}"),
        ),
        _cell("Sagas", module.sagas, _saga),
        _cell("Read models", module.projections, tag_code),
        _cell("Schedules", module.schedules, lambda s: _named(*s)),
        _cell("Seeds", module.seeds, lambda s: _named(*s)),
        _cell("Deprecated", module.leaving, lambda one: _named(f"{one.kind} {one.name}", one.says)),
        _cell("Health checks", module.health_checks, tag_code),
        _cell(
            "Commands of the command line",
            list(module.cli_groups.items()),
            lambda g: _named(f"platform {g[0]}", g[1]),
        ),
    ]
    return tag(
        "article",
        head,
        tag("div", *cells, class_="cells"),
        id=f"module-{module.name}",
        data_module=module.name,
        class_="canvas",
    )


def _cell(title: str, things: Sequence[T], show: Callable[[T], Html]) -> Html | None:
    if not things:
        return None
    items = [tag("li", show(thing), data_item=True) for thing in things]
    rest = items[_SHOWN_COUNT:]
    more = tag("details", tag("summary", f"{len(rest)} more"), tag("ul", *rest)) if rest else None
    heading = tag("h4", title, tag("span", str(len(things)), class_="count"))
    return tag("div", heading, tag("ul", *items[:_SHOWN_COUNT]), more, class_="cell")


def _neighbours(module: Canvas) -> Iterator[tuple[str, str]]:
    for how, names in (
        ("is required", module.needs),
        ("is used where it is there", module.neighbours),
        ("may be asked", module.asks),
        ("is listened to", module.consumes),
        ("is acted in by its sagas", module.directs),
        ("needs this one", module.needed_by),
    ):
        for name in names:
            yield how, name


def _neighbour(how: str, name: str, here: Collection[str]) -> Html:
    return join(_module(name) if name in here else join(tag_code(name), " (not installed)"), f" {how}")


def tag_code(text: str) -> Html:
    """Return a text as a piece of code."""
    return tag("code", text)


def _named(name: str, about: str) -> Html:
    return join(tag_code(name), _prose(about))


def _message(message: MessageCard) -> Html:
    answer = tag("span", f" → {message.answers}", class_="soft") if message.answers != "nothing" else None
    return join(tag_code(message.name), answer, _prose(message.about))


def _saga(saga: tuple[str, Sequence[str]]) -> Html:
    name, steps = saga
    return join(tag_code(name), tag("ol", *(tag("li", step) for step in steps)))


def _prose(text: str) -> Html | None:
    """Return a sentence as a paragraph, with code where it is marked as such."""
    parts = text.split("`")
    return (
        tag("p", *(tag_code(part) if index % 2 else part for index, part in enumerate(parts)))
        if text
        else None
    )


def _route(route: RouteCard) -> Html:
    refusals = (
        tag("ul", *(tag("li", text) for text in route.refuses), class_="refusals") if route.refuses else None
    )
    line = join(tag("b", route.method, class_="method"), " ", tag("code", route.path))
    access = _permission(route.access) if ":" in route.access else tag("span", route.access, class_="soft")
    return tag(
        "details", tag("summary", line), tag("p", route.summary, ". ", access), refusals, class_="route"
    )


def _status(module: Canvas) -> Html | None:
    return tag("span", module.status, class_=f"status {module.status}") if module.status != "active" else None


def _module(name: str) -> Html:
    return tag("a", name, href=f"#module-{name}")


def _event(name: str) -> Html:
    return tag("a", tag("code", name), href=f"#event-{name}")


def _permission(name: str) -> Html:
    return tag("a", tag("code", name), href=f"#permission-{name}")


def _hook(name: str) -> Html:
    return tag("a", tag("code", name), href=f"#hook-{name}")


# ── catalogues ───────────────────────────────────────────────────────────────────────────────────


def _events(handbook: Handbook) -> Html:
    rows = (
        (
            f"event-{event.name}",
            event.module,
            (_event_cell(event), _module(event.module), _handlers(event), _fields(event)),
        )
        for event in handbook.events
    )
    return _catalogue("events", "Events", ("event", "published by", "given to", "what it says"), rows)


def _event_cell(event: EventCard) -> Html:
    return join(
        tag("code", event.name), tag("span", f" v{event.version}", class_="soft"), _prose(event.about)
    )


def _handlers(event: EventCard) -> Html:
    if not event.handlers:
        return tag("span", "nobody here", class_="soft")
    return tag("ul", *(tag("li", _module(module), " ", tag("code", name)) for module, name in event.handlers))


def _fields(event: EventCard) -> Html:
    return tag("ul", *(tag("li", tag("code", name), f" {kind}") for name, kind in event.fields.items()))


def _permissions(handbook: Handbook) -> Html:
    rows = (
        (
            f"permission-{p.name}",
            p.module,
            (
                tag_code(p.name),
                join(_prose(p.about)),
                _module(p.module),
                tag("ul", *(tag("li", tag_code(r)) for r in p.routes)),
            ),
        )
        for p in handbook.permissions
    )
    return _catalogue(
        "permissions", "Permissions", ("permission", "allows", "declared by", "asked for by"), rows
    )


def _hooks(handbook: Handbook) -> Html:
    rows = ((f"hook-{hook.name}", hook.module, _hook_cells(hook)) for hook in handbook.hooks)
    return _catalogue("hooks", "Hooks", ("hook", "what it is for", "published by", "implemented by"), rows)


def _hook_cells(hook: HookCard) -> tuple[Html, ...]:
    users = tag("ul", *(tag("li", _module(name)) for name in hook.implemented_by))
    return tag_code(hook.name), join(_prose(hook.about)), _module(hook.module), users


def _settings(handbook: Handbook) -> Html:
    rows = (
        (
            f"setting-{setting.variable}",
            module.name,
            (
                tag_code(setting.variable),
                tag_code(setting.default) if setting.default else join(""),
                join(_prose(setting.about)),
            ),
        )
        for module in handbook.modules
        for setting in module.settings
    )
    return _catalogue("settings", "Settings", ("variable", "default", "what it is for"), rows)


def _leaving(handbook: Handbook) -> Html:
    rows = (
        (
            f"deprecated-{number}",
            one.module,
            (join(f"{one.kind} ", tag_code(one.name)), _module(one.module), join(_prose(one.says))),
        )
        for number, one in enumerate(handbook.leaving)
    )
    return _catalogue("deprecated", "Deprecated", ("what", "of", "since when, and what to use"), rows)


def _catalogue(
    anchor: str, title: str, columns: Sequence[str], rows: Iterable[tuple[str, str, Sequence[Html]]]
) -> Html:
    head = tag("thead", tag("tr", *(tag("th", column, scope="col") for column in columns)))
    body = tag(
        "tbody",
        *(
            tag("tr", *(tag("td", cell) for cell in cells), id=row, data_module=module, data_item=True)
            for row, module, cells in rows
        ),
    )
    table = tag("div", tag("table", head, body), class_="wide", tabindex="0", role="group", aria_label=title)
    return _chapter(anchor, title, table)
