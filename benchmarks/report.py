"""The one table, for the terminal and for docs/performance.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.ground import Ground
from benchmarks.http_cases import Measured
from benchmarks.sides import CORE, FLOOR, ORM, OURS

LIBRARIES = (
    "fastapi",
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "pydantic",
    "orjson",
    "sqlalchemy",
    "psycopg",
)


@dataclass(frozen=True, slots=True)
class Line:
    """
    One promise of the budget, and what came of it.

    Attributes:
        must: as people read it: `≥ 0.45`, `≤ 2.0 s`.
        held: None where nothing is promised.
    """

    what: str
    must: str
    measured: str
    held: bool | None


def machine(ground: Ground) -> dict[str, Any]:
    """Say what was measured with, and how busy it was."""
    [(server,)] = ground.sql("SHOW server_version")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": f"{server}, unix socket",
        "load_average_before": [round(value, 2) for value in os.getloadavg()],
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def http_table(measured: Iterable[Measured]) -> str:
    """Return the requests as a Markdown table."""
    lines = [
        "| request | connections | floor | Core by hand | ORM by hand | **platform** | CPU per request | must |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in measured:
        peers = [f"{one.ratio(name):.2f}" if name in one.runs else "" for name in (CORE, ORM)]
        cpu = f"{one.median(FLOOR, 'cpu_ms'):.2f} → {one.median(OURS, 'cpu_ms'):.2f} ms"
        must = f"{one.case.must:.2f}" if one.connections > 1 else ""
        lines.append(
            f"| {one.case.title} | {one.connections} | {one.median(FLOOR, 'rate'):,.0f}/s | {' | '.join(peers)}"
            f" | **{one.ratio(OURS):.2f}** | {cpu} | {must} |"
        )
    return "\n".join(lines)


def budget_table(lines: Sequence[Line]) -> str:
    """Return every other promise as a Markdown table."""
    marks = {True: "held", False: "**missed**", None: ""}
    rows = [f"| {line.what} | {line.must} | {line.measured} | {marks[line.held]} |" for line in lines]
    return "\n".join(["| | must | measured | |", "|---|---:|---:|---|", *rows])


def http_json(measured: Iterable[Measured]) -> list[dict[str, Any]]:
    """Return every run, as it was."""
    return [
        {
            "case": one.case.name,
            "title": one.case.title,
            "connections": one.connections,
            "must": one.case.must,
            "ratio_to_floor": {name: round(one.ratio(name), 3) for name in one.runs},
            "runs": {name: [asdict(run) for run in runs] for name, runs in one.runs.items()},
        }
        for one in measured
    ]


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )
