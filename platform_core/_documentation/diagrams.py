"""
The platform from far to near, after Simon Brown's C4 model: context, containers, components; as SVG and as Mermaid.

The context and the containers are those of every installation of this kernel; what they talk to outside is what the
installed modules' manifests name as capabilities. The components are the modules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from platform_core._documentation.canvas import Handbook
from platform_core._modules.graph import mermaid_text
from platform_core._modules.layered import Box, Line, Stroke, draw

_CALLS: Final = Stroke("calls", "calls", "#0072b2")
_KEEPS: Final = Stroke("keeps", "keeps data in", "#64748b", "6 4")
_RINGS: Final = Stroke("rings", "rings, caches, limits", "#d55e00", "2 4")
_STROKES: Final = (_CALLS, _KEEPS, _RINGS)

_PERSON: Final = "#cc79a7"
_SYSTEM: Final = "#0072b2"
_OUTSIDE: Final = "#a3a3a3"

_KNOWN: Final = {"smtp": "Mail server", "clamd": "Virus scanner", "storage": "File store"}
"""Capabilities by what people call them; others are shown by their own name."""

Drawing = tuple[Sequence[Box], Sequence[Line], str]


def context(handbook: Handbook) -> Drawing:
    """Return the platform among the people and systems around it."""
    outside = _outside(handbook)
    count = len(handbook.modules) - 1
    boxes = [
        _person("client", "API client", "people's programs, by HTTP"),
        _person("operator", "Operator", "by command line and metrics"),
        Box(
            key="platform",
            head="Platform",
            below=f"kernel {handbook.version}, {count} modules",
            tip="The platform: one program, its modules and its data",
            rank=1,
            frame=_SYSTEM,
            weight=2.4,
        ),
        *outside,
    ]
    lines = [
        Line("client", "platform", _CALLS, "API clients call the platform: JSON over HTTPS"),
        Line("operator", "platform", _CALLS, "Operators run commands and read metrics"),
        *(Line("platform", box.key, _CALLS, f"The platform calls: {box.head}") for box in outside),
    ]
    return boxes, lines, "The platform and its surroundings"


def containers(handbook: Handbook) -> Drawing:
    """Return the processes of the platform and where they keep things."""
    outside = _outside(handbook)
    schedules = sum(len(module.schedules) for module in handbook.modules)
    routes = sum(len(module.routes) for module in handbook.modules)
    handlers = sum(len(module.subscriptions) for module in handbook.modules)
    boxes = [
        _person("client", "API client", "people's programs, by HTTP", rank=2),
        _person("operator", "Operator", "by command line", rank=2),
        _process("api", "API", f"platform serve: {routes} routes"),
        _process("worker", "Worker", f"platform worker: {handlers} handlers"),
        _process("scheduler", "Scheduler", f"platform scheduler: {schedules} schedules"),
        _store("postgresql", "PostgreSQL", "a schema and a role per module"),
        _store("redis", "Redis", "bells, sessions, rate limits"),
        *(
            []
            if any(box.key == "storage" for box in outside)
            else [_store("storage", "File store", "a folder, or S3")]
        ),
        *outside,
    ]
    lines = [
        Line("client", "api", _CALLS, "JSON over HTTPS"),
        Line("operator", "api", _CALLS, "routes below /api/v1/platform"),
    ]
    for process in ("api", "worker", "scheduler"):
        lines.append(Line(process, "postgresql", _KEEPS, f"{process}: rows, events, deliveries, audit trail"))
        lines.append(Line(process, "redis", _RINGS, f"{process}: wakes others; nothing is lost with it"))
    for process in ("api", "worker"):
        lines.append(Line(process, "storage", _KEEPS, f"{process}: whole files or none"))
        lines += [
            Line(process, box.key, _CALLS, f"{process} calls: {box.head}")
            for box in outside
            if box.key != "storage"
        ]
    return boxes, lines, "Processes, and where they keep things"


def svg(drawing: Drawing, name: str = "") -> str:
    """Return a diagram as a picture."""
    boxes, lines, label = drawing
    return draw(boxes, lines, _STROKES, label=label, name=name, mirrored=True)


def mermaid(drawing: Drawing) -> str:
    """Return a diagram in Mermaid's notation."""
    boxes, lines, _ = drawing
    drawn = ["flowchart LR"]
    drawn += [
        f'    {box.key}["<b>{mermaid_text(box.head)}</b><br/>{mermaid_text(box.below)}"]' for box in boxes
    ]
    for line in lines:
        arrow = "-->" if line.stroke is _CALLS else "-.->"
        drawn.append(f"    {line.source} {arrow} {line.target}")
    return "\n".join(drawn)


def event_flow_mermaid(handbook: Handbook) -> str:
    """Return in Mermaid's notation which module's events go to which modules; those that nobody hears are left out."""
    drawn = ["flowchart LR"]
    for module in handbook.modules:
        heard = [event for event in module.publishes if event.handlers]
        if heard:
            drawn.append(f'    subgraph from_{module.name}["{mermaid_text(module.title)}"]')
            drawn += [f'        {_key(event.name)}["{event.name.partition(".")[2]}"]' for event in heard]
            drawn.append("    end")
    hearing = {name for event in handbook.events for name, _ in event.handlers}
    drawn += [f'    to_{m.name}(["{mermaid_text(m.title)}"])' for m in handbook.modules if m.name in hearing]
    for event in handbook.events:
        drawn += [
            f"    {_key(event.name)} --> to_{name}"
            for name in dict.fromkeys(name for name, _ in event.handlers)
        ]
    return "\n".join(drawn)


def _key(event: str) -> str:
    return event.replace(".", "__")


def _outside(handbook: Handbook) -> list[Box]:
    askers: dict[str, list[str]] = {}
    for module in handbook.modules:
        for capability in module.capabilities:
            askers.setdefault(capability, []).append(module.title)
    return [
        Box(
            key="".join(letter if letter.isalnum() else "_" for letter in capability),
            head=_KNOWN.get(capability, capability.capitalize()),
            below=f"for {', '.join(titles)}",
            tip=f"{capability}, which these modules ask for: {', '.join(titles)}",
            rank=0,
            frame=_OUTSIDE,
        )
        for capability, titles in askers.items()
    ]


def _person(key: str, head: str, below: str, rank: int = 2) -> Box:
    return Box(key=key, head=head, below=below, tip=f"{head}: {below}", rank=rank, frame=_PERSON)


def _process(key: str, head: str, below: str) -> Box:
    return Box(key=key, head=head, below=below, tip=f"{head}: {below}", rank=1, frame=_SYSTEM, weight=2.4)


def _store(key: str, head: str, below: str) -> Box:
    return Box(key=key, head=head, below=below, tip=f"{head}: {below}", rank=0)
