"""`python -m benchmarks`: measure, print the table, leave the figures as JSON."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from benchmarks import http_cases, report
from benchmarks.ground import Ground, prepared
from benchmarks.http_cases import CASES, Measured
from benchmarks.sides import ALL_SIDES, running, sinks
from platform_core.errors import OperationError


def main() -> int:
    """Run what was asked for."""
    arguments = _arguments()
    try:
        with (
            sinks() as (smtp_port, otlp_port),
            prepared(smtp_port=smtp_port, otlp_port=otlp_port) as ground,
        ):
            machine = report.machine(ground)
            measured = _requests(ground, arguments)
    except OperationError as error:
        raise SystemExit(str(error)) from None
    print(f"\n{json.dumps(machine, indent=1)}\n\n{report.http_table(measured)}")
    machine["load_average_after"] = [round(value, 2) for value in os.getloadavg()]
    if arguments.output is not None:
        result = {"machine": machine, "http": report.http_json(measured)}
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", help="cases, comma-separated: " + ", ".join(case.name for case in CASES))
    parser.add_argument("--seconds", type=float, default=4, help="length of one run")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each side")
    parser.add_argument("--connections", default="1,32", help="how many, comma-separated")
    parser.add_argument("--output", type=Path, help="where the figures are left as JSON")
    return parser.parse_args()


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
                print(f"{case.title}, {connections}: {one.ratio('platform'):.2f}", flush=True)
                measured.append(one)
    return measured


if __name__ == "__main__":
    raise SystemExit(main())
