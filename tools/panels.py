"""
Draw the dashboards from a Prometheus that has data, one SVG each: what Grafana would show, as far as queries go.

    uv run python tools/panels.py http://127.0.0.1:9090 build/dashboards --minutes 15

Grafana is not to be had from a package registry. This reads the committed dashboards, runs the query of each panel and
draws what comes back, so that people see what a panel tells before they import it; and it fails when a query does.
The pictures in docs/operations/dashboards/ were made by it from the topology of tests/topology.
"""

import argparse
import json
import math
import re
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

DASHBOARDS: Final = Path(__file__).parent.parent / "helm" / "platform" / "files" / "dashboards"
CHOSEN: Final = {"namespace": ".*", "component": ".*", "module": ".*"}
"""What the variables stand for: everything, as a dashboard opens."""

COLUMN, ROW, GAP, TOP = 50, 27, 8, 58
SHOWN_COUNT: Final = 8
"""Lines of a panel that get a colour and a name, where they fit; Grafana shows more, in a list that scrolls."""
LEGEND_ROWS: Final = 3
POINTS_COUNT: Final = 150

STYLE: Final = (
    "text{font:11px system-ui,sans-serif;fill:#1f2328}.b{font-weight:600;font-size:12px}"
    ".h{font-size:17px;font-weight:600}"
    ".soft{fill:#59636e}.big{font-size:26px;font-weight:600}.good{fill:#1a7f37}.bad{fill:#cf222e}.panel{fill:#fff;stroke:#d1d9e0}"
    ".page{fill:#f6f8fa}.grid{stroke:#d1d9e0;stroke-width:.6}.limit{stroke:#cf222e;stroke-dasharray:5 4}"
    "polyline{fill:none;stroke-width:1.5;stroke-linejoin:round}"
    "@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.soft{fill:#9198a1}.good{fill:#3fb950}.bad{fill:#f85149}"
    ".panel{fill:#0d1117;stroke:#3d444d}.page{fill:#010409}.grid{stroke:#3d444d}.limit{stroke:#f85149}}"
)
COLOURS: Final = (
    "#0969da",
    "#1a9c4b",
    "#d4760a",
    "#8957e5",
    "#d1477a",
    "#1b9aaa",
    "#a08600",
    "#8a6d5b",
)

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One series of a panel: what it is called, and its points in time."""

    name: str
    points: Sequence[Point]

    @property
    def last(self) -> float:
        return self.points[-1][1]


@dataclass(frozen=True)
class Prometheus:
    """
    Args:
        url: of its HTTP API.
        start, end: seconds since 1970.
        scrape_seconds: from one look to the next; rates are over four of them, as Grafana has it.
    """

    url: str
    start: float
    end: float
    scrape_seconds: float

    @property
    def step_seconds(self) -> float:
        """From one point of a line to the next."""
        return max(self.scrape_seconds, (self.end - self.start) / POINTS_COUNT)

    def lines(self, panel: Mapping[str, Any]) -> list[Line]:
        """Return what a panel's queries say, the highest first."""
        found = [line for target in panel["targets"] for line in self._of(target)]
        return sorted(found, key=lambda line: -max(value for _, value in line.points))

    def _of(self, target: Mapping[str, str]) -> Iterator[Line]:
        for series in self._ask(self.query(target["expr"]))["result"]:
            points = [(moment, float(value)) for moment, value in series["values"]]
            finite = [(moment, value) for moment, value in points if math.isfinite(value)]
            if finite:
                yield Line(_named(target["legendFormat"], series["metric"]), finite)

    def query(self, expression: str) -> str:
        """Return the query with the dashboard's variables filled in."""
        chosen = {**CHOSEN, "__rate_interval": f"{round(self.scrape_seconds * 4)}s"}
        return re.sub(r"\$(\w+)", lambda name: chosen[name[1]], expression)

    def _ask(self, query: str) -> Any:
        asked = {"query": query, "start": self.start, "end": self.end, "step": self.step_seconds}
        address = f"{self.url}/api/v1/query_range?{urllib.parse.urlencode(asked)}"
        with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310  # the address that was given
            return json.loads(answer.read())["data"]


def _named(legend: str, labels: Mapping[str, str]) -> str:
    words = re.sub(r"{{(\w+)}}", lambda name: labels.get(name[1], ""), legend).split()
    return " ".join(dict.fromkeys(words))  # what is pod and instance at once is said once


# ── numbers as people read them ──────────────────────────────────────────────────────────────────


def _scaled(value: float, steps: Sequence[tuple[float, str]]) -> str:
    for size, unit in steps:
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value / steps[-1][0]:.2g}{steps[-1][1]}" if value else "0"


UNITS: Final[Mapping[str, Callable[[float], str]]] = {
    "s": lambda value: _scaled(value, [(60, " min"), (1, " s"), (0.001, " ms")]),
    "bytes": lambda value: _scaled(value, [(2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"), (1, " B")]),
    "percentunit": lambda value: f"{value * 100:.4g} %",
    "reqps": lambda value: f"{value:.3g}/s",
    "ops": lambda value: f"{value:.3g}/s",
    "short": lambda value: _scaled(value, [(1e6, " M"), (1e3, " k"), (1, "")]),
}


def _round_in(highest: float, shown: Callable[[float], str]) -> float:
    """Return the unit in which an axis is round: minutes and mebibytes are not tens."""
    for unit, size in (("bytes", 2.0**20), ("s", 60.0)):
        if shown is UNITS[unit] and highest > size:
            return size
    return 1.0


def _ticks(highest: float, unit: float) -> list[float]:
    """Return numbers from 0 to just above the highest, round in the unit that people read."""
    rough = highest / unit / 3
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(step * size for step in (1, 2, 5, 10) if step * size >= rough) * unit
    return [step * number for number in range(math.ceil(highest / step - 1e-9) + 1)]


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────


def draw(dashboard: Mapping[str, Any], prometheus: Prometheus) -> str:
    """Return one dashboard as it is placed."""
    panels = dashboard["panels"]
    height = TOP + max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in panels) * ROW + GAP
    width = 24 * COLUMN + GAP
    minutes = (prometheus.end - prometheus.start) / 60
    told = f"{minutes:.0f} minutes of a running platform; drawn by tools/panels.py, not by Grafana"
    parts = [
        f'<rect class="page" width="{width}" height="{height}"/>',
        f'<text class="h" x="{GAP + 4}" y="28">{escape(dashboard["title"])}</text>',
        f'<text class="soft" x="{GAP + 4}" y="46">{told}</text>',
    ]
    for panel in panels:
        parts += _panel(panel, prometheus)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
        f' aria-label="{escape(dashboard["title"])}"><style>{STYLE}</style>{"".join(parts)}</svg>\n'
    )


def _panel(panel: Mapping[str, Any], prometheus: Prometheus) -> Iterator[str]:
    place = panel["gridPos"]
    x, y = GAP + place["x"] * COLUMN, TOP + place["y"] * ROW
    width, height = place["w"] * COLUMN - GAP, place["h"] * ROW - GAP
    yield f'<g transform="translate({x} {y})"><rect class="panel" width="{width}" height="{height}" rx="5"/>'
    yield f'<text class="b" x="10" y="19">{escape(panel["title"])}</text>'
    lines = prometheus.lines(panel)
    defaults = panel["fieldConfig"]["defaults"]
    limit = next(
        (step["value"] for step in defaults["thresholds"]["steps"] if step["value"] is not None), None
    )
    shown = UNITS[defaults["unit"]]
    if not lines:
        yield f'<text class="soft" x="10" y="{height / 2 + 6:g}">nothing to show: {_nothing(panel)}</text>'
    elif panel["type"] == "stat":
        is_bad = limit is not None and lines[0].last >= limit
        kind = "bad" if is_bad else "good"
        yield f'<text class="big {kind}" x="10" y="{height / 2 + 22:g}">{escape(shown(lines[0].last))}</text>'
    else:
        yield from _curves(lines, shown, limit, (width, height), prometheus)
    yield "</g>"


def _nothing(panel: Mapping[str, Any]) -> str:
    return escape(panel.get("description") or "it did not happen")


@dataclass(frozen=True)
class Plot:
    """The rectangle that curves are drawn in, and what its edges stand for."""

    left: float
    right: float
    top: float
    bottom: float
    highest: float
    start: float
    end: float

    def across(self, moment: float) -> float:
        """Return where a moment is."""
        return self.left + (moment - self.start) / (self.end - self.start) * (self.right - self.left)

    def up(self, value: float) -> float:
        """Return where a value is."""
        return self.bottom - value / self.highest * (self.bottom - self.top)


def _curves(
    lines: Sequence[Line],
    shown: Callable[[float], str],
    limit: float | None,
    size: tuple[float, float],
    prometheus: Prometheus,
) -> Iterator[str]:
    rows = _rows(lines, size[0], shown)
    highest = max(max(value for _, value in line.points) for line in lines) or 1.0
    ticks = _ticks(highest, _round_in(highest, shown))
    bottom = size[1] - 24.0 - len(rows) * 15
    plot = Plot(62.0, size[0] - 10, 30.0, bottom, ticks[-1], prometheus.start, prometheus.end)
    yield from _grid(plot, ticks, shown)
    if limit is not None and limit <= plot.highest:
        yield _level("limit", plot, limit)
    named_count = sum(1 for row in rows for _, _, colour in row if colour)
    for line, colour in zip(lines[:named_count], COLOURS, strict=False):
        for piece in _pieces(line.points, prometheus):
            if len(piece) == 1:
                x, y = plot.across(piece[0][0]), plot.up(piece[0][1])
                yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.5" fill="{colour}"/>'
                continue
            path = " ".join(f"{plot.across(moment):.1f},{plot.up(value):.1f}" for moment, value in piece)
            yield f'<polyline stroke="{colour}" points="{path}"/>'
    yield from _legend(rows, size[1])


def _grid(plot: Plot, ticks: Sequence[float], shown: Callable[[float], str]) -> Iterator[str]:
    for tick in ticks:
        yield _level("grid", plot, tick)
        place = f'x="{plot.left - 6}" y="{plot.up(tick) + 4:.1f}" text-anchor="end"'
        yield f'<text class="soft" {place}>{escape(shown(tick))}</text>'
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        moment = plot.start + share * (plot.end - plot.start)
        place = f'x="{plot.across(moment):.1f}" y="{plot.bottom + 14:.1f}" text-anchor="{anchor}"'
        yield f'<text class="soft" {place}>{time.strftime("%H:%M", time.gmtime(moment))}</text>'


def _level(kind: str, plot: Plot, value: float) -> str:
    y = f"{plot.up(value):.1f}"
    return f'<line class="{kind}" x1="{plot.left:g}" x2="{plot.right:g}" y1="{y}" y2="{y}"/>'


def _pieces(points: Sequence[Point], prometheus: Prometheus) -> Iterator[list[Point]]:
    """Yield a line in pieces, parted where nothing was seen for a while: a process was down."""
    piece: list[Point] = []
    for point in points:
        if piece and point[0] - piece[-1][0] > prometheus.step_seconds * 1.5:
            yield piece
            piece = []
        piece.append(point)
    yield piece


Entry = tuple[float, str, str]
"""Of a legend: where it begins, what it says, its colour."""


def _rows(lines: Sequence[Line], width: float, shown: Callable[[float], str]) -> list[list[Entry]]:
    """Return names and latest values in rows, for as many lines as fit."""
    rows: list[list[Entry]] = []
    for count in range(min(len(lines), SHOWN_COUNT), 0, -1):
        entries = [
            (f"{_cut(line.name or 'value', width)}  {shown(line.last)}", colour)
            for line, colour in zip(lines[:count], COLOURS, strict=False)
        ]
        if count < len(lines):
            entries.append((f"and {len(lines) - count} more", ""))
        rows = _broken(entries, width)
        if len(rows) <= LEGEND_ROWS:
            break
    return rows


def _legend(rows: Sequence[Sequence[Entry]], height: float) -> Iterator[str]:
    """Yield the rows above the lower edge."""
    for number, row in enumerate(rows):
        y = height - 10 - (len(rows) - 1 - number) * 15
        for x, text, colour in row:
            if colour:
                yield f'<circle cx="{x:g}" cy="{y - 4:g}" r="3.5" fill="{colour}"/>'
            yield f'<text class="soft" x="{x + 8:g}" y="{y:g}">{escape(text)}</text>'


def _cut(name: str, width: float) -> str:
    """Return a name that leaves room for its value in a row."""
    most = int((width - 110) / 6)
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _broken(entries: Sequence[tuple[str, str]], width: float) -> list[list[Entry]]:
    """Break a list of texts into rows."""
    rows: list[list[Entry]] = [[]]
    x = 12.0
    for text, colour in entries:
        wide = len(text) * 6 + 24
        if rows[-1] and x + wide > width:
            rows.append([])
            x = 12.0
        rows[-1].append((x, text, colour))
        x += wide
    return rows


def main() -> int:
    """Draw every dashboard."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("prometheus", help="its address")
    parser.add_argument("target", type=Path, help="the directory that gets the pictures")
    parser.add_argument("--minutes", type=float, default=15, help="how far to look back")
    parser.add_argument("--scrape-seconds", type=float, default=15, help="its scrape interval")
    given = parser.parse_args()
    now = time.time()
    prometheus = Prometheus(given.prometheus, now - given.minutes * 60, now, given.scrape_seconds)
    given.target.mkdir(parents=True, exist_ok=True)
    for path in sorted(DASHBOARDS.glob("*.json")):
        picture = draw(json.loads(path.read_text(encoding="utf-8")), prometheus)
        (given.target / f"{path.stem}.svg").write_text(picture, encoding="utf-8")
        print(given.target / f"{path.stem}.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
