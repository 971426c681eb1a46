"""
The flow of events as one picture: on the left every published event by its module, on the right who is given it.

A line for each handler; what nobody handles is there without one, because it is published all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Final

from platform_core._documentation.canvas import Handbook
from platform_core._modules.layered import cut

_LEFT: Final = 28
_RIGHT: Final = 620
_WIDTH: Final = 330
_ROW: Final = 22
_HEAD: Final = 34
_GAP: Final = 18
_MARGIN: Final = 24
"""Pixels: where the two columns begin, their width, an entry, a module's head, between modules, the border."""

_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7f6000")
"""Okabe and Ito's, the yellow darkened so that it is seen on white."""

_Group = tuple[str, str, Sequence[str]]
"""Module, its title, entries."""


def svg(handbook: Handbook) -> str:
    """Return the picture."""
    published = [
        (m.name, m.title, [event.name for event in m.publishes]) for m in handbook.modules if m.publishes
    ]
    handled = {
        m.name: [(s.name, s.event) for s in m.subscriptions] for m in handbook.modules if m.subscriptions
    }
    titles = {m.name: m.title for m in handbook.modules}
    handlers = [
        (name, titles[name], [handler for handler, _ in entries]) for name, entries in handled.items()
    ]
    sources, left_height = _places(published)
    targets, right_height = _places(handlers)
    height = max(left_height, right_height) + _MARGIN
    colours = {name: _COLOURS[index % len(_COLOURS)] for index, (name, _, _) in enumerate(published)}
    width = _RIGHT + _WIDTH + _LEFT
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="system-ui, sans-serif" role="img" aria-label="Published events, and the handlers of each">',
        *(
            _line(sources[event], targets[handler], colours[event.partition(".")[0]], event, handler)
            for entries in handled.values()
            for handler, event in entries
            if event in sources
        ),
        *(line for group in published for line in _group(group, _LEFT, sources, colours[group[0]])),
        *(
            line
            for group in handlers
            for line in _group(group, _RIGHT, targets, colours.get(group[0], "#64748b"))
        ),
        "</svg>",
    ]
    return "\n".join(drawn)


def _places(groups: Sequence[_Group]) -> tuple[Mapping[str, float], int]:
    """Return the middle of each entry's row, and where the column ends."""
    places: dict[str, float] = {}
    y = _MARGIN
    for _, _, entries in groups:
        y += _HEAD
        for entry in entries:
            places[entry] = y + _ROW / 2
            y += _ROW
        y += _GAP
    return places, y


def _group(group: _Group, x: int, places: Mapping[str, float], colour: str) -> Iterator[str]:
    name, title, entries = group
    top = places[entries[0]] - _ROW / 2 - _HEAD
    height = _HEAD + len(entries) * _ROW + 6
    yield f'<g class="box" data-key="{escape(name)}"><title>{escape(name)}</title>'
    yield (
        f'<rect x="{x}" y="{top:g}" width="{_WIDTH}" height="{height}" rx="8" fill="#f8fafc" stroke="{colour}"'
        ' stroke-width="1.4"/>'
    )
    yield (
        f'<text class="head" x="{x + 14}" y="{top + 22:g}" font-size="14" font-weight="600" fill="#0f172a">'
        f"{escape(cut(title, 36))}</text></g>"
    )
    for entry in entries:
        told = entry.removeprefix(f"{name}.")
        yield (
            f'<text class="entry" data-key="{escape(entry)}" x="{x + 14}" y="{places[entry] + 4:g}" font-size="12"'
            f' fill="#475569">{escape(cut(told, 46))}</text>'
        )


def _line(start: float, end: float, colour: str, event: str, handler: str) -> str:
    x, to = _LEFT + _WIDTH, _RIGHT
    middle = (x + to) / 2
    return (
        f'<path class="line" data-from="{escape(event)}" data-to="{escape(handler)}"'
        f' d="M{x} {start:g}C{middle:g} {start:g} {middle:g} {end:g} {to} {end:g}" fill="none" stroke="{colour}"'
        f' stroke-width="1.4" stroke-opacity="0.75"><title>{escape(event)} → {escape(handler)}</title></path>'
    )
