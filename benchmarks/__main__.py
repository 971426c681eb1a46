"""`python -m benchmarks`: measure, print the tables, leave the figures as JSON."""

from __future__ import annotations

import argparse
import functools
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from benchmarks import events, growth, hashing, http_cases, report, sagas, startup
from benchmarks.ground import Ground, prepared
from benchmarks.http_cases import CASES, Measured
from benchmarks.sides import ALL_SIDES, FLOOR, OURS, running, sinks
from platform_core.errors import OperationError

PARTS: Final = ("requests", "hashing", "events", "sagas", "modules", "growth")


def main() -> int:
    """Run what was asked for."""
    arguments = _arguments()
    result: dict[str, Any] = {}
    try:
        with sinks() as (smtp_port, otlp_port):
            with prepared(smtp_port=smtp_port, otlp_port=otlp_port) as ground:
                result["machine"] = report.machine(ground)
                print(json.dumps(result["machine"], indent=1), flush=True)
                result |= _on_one_ground(ground, arguments)
            if "modules" in arguments.parts:
                started = startup.measure(smtp_port, otlp_port)
                print(report.modules_table(started), flush=True)
                result["modules"] = [asdict(one) for one in started]
    except OperationError as error:
        raise SystemExit(str(error)) from None
    result["machine"]["load_average_after"] = [round(value, 2) for value in os.getloadavg()]
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--only", help="requests, comma-separated: " + ", ".join(case.name for case in CASES))
    parser.add_argument("--seconds", type=float, default=4, help="length of one run")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each side")
    parser.add_argument("--connections", default="1,32", help="how many, comma-separated")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of history, at most; for growth")
    parser.add_argument("--output", type=Path, help="where the figures are left as JSON")
    return parser.parse_args()


def _on_one_ground(ground: Ground, arguments: argparse.Namespace) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if "requests" in arguments.parts:
        measured = _requests(ground, arguments)
        print(f"\n{report.http_table(measured)}\n", flush=True)
        result["requests"] = report.http_json(measured)
    if "hashing" in arguments.parts:
        beside = hashing.measure(ground, rounds=arguments.rounds)
        print(f"p99 of GET while 8 log in: {beside.factor:.2f} times what it is alone", flush=True)
        result["hashing"] = asdict(beside)
    if "events" in arguments.parts:
        runs = events.measure(ground, rounds=3)
        print(f"{report.events_table(runs)}\n", flush=True)
        result["events"] = {side: [asdict(run) for run in runs[side]] for side in (FLOOR, OURS)}
    if "sagas" in arguments.parts:
        purchases = sagas.measure(ground, rounds=arguments.rounds, seconds=arguments.seconds)
        print(f"{report.sagas_table(purchases)}\n", flush=True)
        result["sagas"] = asdict(purchases)
    if "growth" in arguments.parts:
        result["growth"] = [asdict(curve) for curve in _growth(ground, arguments)]
    return result


def _growth(ground: Ground, arguments: argparse.Namespace) -> Iterator[growth.Curve]:
    parts: tuple[Callable[[], list[growth.Curve]], ...] = (
        functools.partial(growth.over_processes, ground, rounds=arguments.rounds),
        functools.partial(growth.over_pools, ground, rounds=arguments.rounds),
        functools.partial(growth.over_rows, ground, rounds=arguments.rounds, most=arguments.rows),
    )
    for measure in parts:
        curves = measure()
        print(report.growth_table(curves), flush=True)
        yield from curves


def _requests(ground: Ground, arguments: argparse.Namespace) -> list[Measured]:
    wanted = arguments.only.split(",") if arguments.only else [case.name for case in CASES]
    measured = []
    with running(ground, ALL_SIDES) as sides:
        time.sleep(http_cases.SETTLING_SECONDS)
        for case in CASES:
            for connections in map(int, arguments.connections.split(",")) if case.name in wanted else ():
                one = http_cases.measure(
                    ground,
                    sides,
                    case,
                    connections=connections,
                    seconds=arguments.seconds,
                    rounds=arguments.rounds,
                )
                print(f"{case.title}, {connections}: {one.ratio(OURS):.2f}", flush=True)
                measured.append(one)
    return measured


if __name__ == "__main__":
    raise SystemExit(main())
