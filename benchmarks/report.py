"""The one table, for the terminal and for docs/performance.md."""

from __future__ import annotations

import os
import platform
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.events import Deliveries
from benchmarks.ground import Ground
from benchmarks.growth import Curve
from benchmarks.http_cases import Measured
from benchmarks.sagas import AT_ONCE_COUNT, Sagas
from benchmarks.sides import CORE, FLOOR, ORM, OURS
from benchmarks.startup import Started

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


def events_table(runs: Mapping[str, Sequence[Deliveries]]) -> str:
    """Return the deliveries as a Markdown table; a latency is the platform's own, the floor's is not looked at."""
    lines = ["| 5,000 events, one worker | floor | **platform** | must |", "|---|---:|---:|---:|"]
    for figure, title, must in (("end_to_end", "end to end", "0.35"), ("backlog", "backlog", "")):
        floor = statistics.median(getattr(run, figure) for run in runs[FLOOR])
        ratio = statistics.median(
            getattr(ours, figure) / getattr(theirs, figure)
            for ours, theirs in zip(runs[OURS], runs[FLOOR], strict=True)
        )
        lines.append(f"| {title} | {floor:,.0f}/s | **{ratio:.2f}** | {must} |")
    p95 = statistics.median(run.p95_ms for run in runs[OURS] if run.p95_ms is not None)
    return "\n".join([*lines, f"| p95 at 20/s | | {p95:.1f} ms | ≤ 10 ms |"])


def sagas_table(measured: Sagas) -> str:
    """Return purchases as a Markdown table, and a line about two hundred at once."""
    lines = [
        "| buyers at a time | purchases a second | median | p95 | CPU of the server |",
        "|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {one.connections} | {one.rate:,.0f} | {one.p50_ms:.0f} ms | {one.p95_ms:.0f} ms | {one.cpu_ms:.1f} ms |"
        for one in measured.purchases
    ]
    answered, ended, p95 = (
        statistics.median(getattr(one, figure) for one in measured.rush)
        for figure in ("answered_seconds", "ended_seconds", "p95_ms")
    )
    answers = sum((Counter(one.answers) for one in measured.rush), Counter[int]())
    told = ", ".join(f"{count} of {status}" for status, count in sorted(answers.items()))
    rush = f"{AT_ONCE_COUNT} at once for half as many seats: answered in {answered:.1f} s, p95 {p95 / 1000:.1f} s"
    return "\n".join([*lines, "", f"{rush}, all ended after {ended:.1f} s; answers: {told}"])


def modules_table(started: Sequence[Started]) -> str:
    """Return what further modules cost as a Markdown table."""
    lines = [
        "| generated modules beside the shipped ones | first 200 | processor time for it | memory | CPU per GET |",
        "|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {one.modules} | {one.seconds:.2f} s | {one.cpu_seconds:.2f} s | {one.memory_mb:.0f} MB"
        f" | {one.cpu_ms:.2f} ms |"
        for one in started
    ]
    return "\n".join(lines)


def growth_table(curves: Iterable[Curve]) -> str:
    """Return curves as a Markdown table, one line each."""
    lines = []
    for curve in curves:
        points = ", ".join(f"{count:,}: {value:,.2f}" for count, value in curve.points)
        (_, first), (_, last) = curve.points[0], curve.points[-1]
        verdict = f"{last / first:.2f} times the first; should be flat" if curve.is_flat else ""
        lines.append(f"| {curve.figure} | over {curve.over} | {points} | {verdict} |")
    return "\n".join(lines)


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
