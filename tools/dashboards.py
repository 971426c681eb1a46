"""
Write Grafana's dashboards: `helm/platform/files/dashboards/*.json`, which the chart and Compose provision.

    uv run python tools/dashboards.py            write them
    uv run python tools/dashboards.py --check    exit 1 when one is out of date

A panel is a title, a unit and a query. tests/deploy/test_observability.py compares the queries with what a running
platform exports, so a metric that is renamed in the code takes its panels along or fails the test.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

TARGET: Final = Path(__file__).parent.parent / "helm" / "platform" / "files" / "dashboards"
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS: Final = 24


@dataclass(frozen=True)
class Panel:
    """
    One picture.

    Attributes:
        queries: (legend, PromQL) each; `$scope` stands for the labels that the variables choose.
        unit: as Grafana names it.
        kind: `timeseries`, `stat` or `table`.
        width: of 24 columns.
        alarm: from this value on it is red; None: never.
    """

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    alarm: float | None = None
    help: str = ""


SERVED = 'platform_http_requests_total{$scope,module=~"$module"}'
DURATIONS = 'platform_http_request_duration_seconds_bucket{$scope,module=~"$module"}'
RATE = "[$__rate_interval]"
OURS = '{$scope,handler=~"($module)\\\\..*"}'
POOLS = "platform_database_connections{$scope} / platform_database_pool_size{$scope}"


def _quantiles(bucket: str, by: str = "") -> list[tuple[str, str]]:
    labels = f", {by}" if by else ""
    legend = f"{{{{{by}}}}} " if by else ""
    return [
        (f"{legend}p{q * 100:g}", f"histogram_quantile({q}, sum by (le{labels}) (rate({bucket}{RATE})))")
        for q in ((0.95,) if by else (0.5, 0.95, 0.99))
    ]


OVERVIEW = [
    Panel("Requests", [("per second", f"sum(rate({SERVED}{RATE}))")], "reqps", "stat", 4),
    Panel(
        "Availability, last hour",
        [
            (
                "answered",
                '1 - (sum(rate(platform_http_requests_total{$scope,status=~"5.."}[1h])) or vector(0))'
                " / sum(rate(platform_http_requests_total{$scope}[1h]))",
            )
        ],
        "percentunit",
        "stat",
        4,
    ),
    Panel("p95", [("p95", _quantiles(DURATIONS)[1][1])], "s", "stat", 4, alarm=0.5),
    Panel(
        "Oldest due delivery",
        [("age", "max(platform_deliveries_oldest_due_seconds{$scope})")],
        "s",
        "stat",
        4,
        alarm=60,
    ),
    Panel(
        "Dead letters",
        [("dead", 'sum(platform_deliveries_set_aside{$scope,status="dead"}) or vector(0)')],
        kind="stat",
        width=4,
        alarm=1,
    ),
    Panel(
        "Sagas that wait",
        [("waiting", 'sum(platform_sagas_open{$scope,status="needs_attention"}) or vector(0)')],
        kind="stat",
        width=4,
        alarm=1,
    ),
    Panel("Requests by status", [("{{status}}", f"sum by (status) (rate({SERVED}{RATE}))")], "reqps"),
    Panel("Duration", _quantiles(DURATIONS), "s"),
    Panel("In flight", [("{{pod}} {{instance}}", "platform_http_requests_in_flight{$scope}")]),
    Panel(
        "Deliveries by outcome",
        [("{{outcome}}", f"sum by (outcome) (rate(platform_deliveries_total{{$scope}}{RATE}))")],
        "ops",
    ),
    Panel("Due", [("{{module}}", "sum by (module) (platform_deliveries_due{$scope})")]),
    Panel(
        "Event loop held up",
        [("{{task}}", f"sum by (task) (rate(platform_loop_lag_seconds_sum{{$scope}}{RATE}))")],
        "percentunit",
        help="Share of the time in which a loop was more than 0.1 s late, by the task that held it up.",
    ),
    Panel("Processor", [("{{pod}} {{instance}}", f"rate(process_cpu_seconds_total{{$scope}}{RATE})")]),
    Panel("Memory", [("{{pod}} {{instance}}", "process_resident_memory_bytes{$scope}")], "bytes"),
    Panel(
        "Connections to PostgreSQL",
        [("{{module}}", "sum by (module) (platform_database_connections{$scope})")],
    ),
    Panel(
        "Processes by build", [("{{version}}", "count by (version) (platform_build_info{$scope})")], width=6
    ),
    Panel(
        "Modules that failed",
        [("{{module}}", "count by (module) (platform_module_up{$scope} == 0) or vector(0)")],
        width=6,
    ),
    Panel(
        "Redis answers",
        [("{{pod}} {{instance}}", "platform_redis_up{$scope}")],
        width=6,
        help="0: requests go on without it, more slowly.",
    ),
    Panel("Scheduler acts", [("{{pod}} {{instance}}", "platform_scheduler_acting{$scope}")], width=6),
]

MODULE = [
    Panel("Requests", [("per second", f"sum(rate({SERVED}{RATE}))")], "reqps"),
    Panel(
        "Errors",
        [
            (
                "{{status}}",
                f'sum by (status) (rate(platform_http_requests_total{{$scope,module=~"$module",status=~"5.."}}{RATE}))',
            ),
            (
                "refused {{status}}",
                f'sum by (status) (rate(platform_http_requests_total{{$scope,module=~"$module",status=~"4.."}}{RATE}))',
            ),
        ],
        "reqps",
    ),
    Panel("Duration", _quantiles(DURATIONS), "s"),
    Panel(
        "Routes: requests",
        [("{{method}} {{route}}", f"topk(10, sum by (method, route) (rate({SERVED}{RATE})))")],
        "reqps",
        width=12,
    ),
    Panel("Routes: p95", _quantiles(DURATIONS, "route"), "s", width=12),
    Panel(
        "Handlers: attempts",
        [
            (
                "{{handler}} {{outcome}}",
                f"sum by (handler, outcome) (rate(platform_deliveries_total{OURS}{RATE}))",
            )
        ],
        "ops",
        width=12,
    ),
    Panel(
        "Handlers: p95 of an attempt",
        _quantiles(f"platform_delivery_duration_seconds_bucket{OURS}", "handler"),
        "s",
        width=12,
    ),
    Panel(
        "Connections lent, of those that may be",
        [
            (
                "{{purpose}}",
                'max by (purpose) (platform_database_connections{$scope,module=~"$module"}'
                ' / platform_database_pool_size{$scope,module=~"$module"})',
            )
        ],
        "percentunit",
        width=12,
        alarm=0.9,
    ),
    Panel(
        "Waiting and set aside",
        [
            ("due", 'sum(platform_deliveries_due{$scope,module=~"$module"})'),
            ("switched off", 'sum(platform_deliveries_resting{$scope,module=~"$module"})'),
            ("{{status}}", 'sum by (status) (platform_deliveries_set_aside{$scope,module=~"$module"})'),
        ],
        width=12,
    ),
]

EVENTS = [
    Panel(
        "Events delivered",
        [
            (
                "{{event}}",
                f'sum by (event) (rate(platform_deliveries_total{{$scope,outcome="done",event!=""}}{RATE}))',
            )
        ],
        "ops",
        width=12,
    ),
    Panel(
        "Jobs run",
        [
            (
                "{{handler}}",
                f'sum by (handler) (rate(platform_deliveries_total{{$scope,outcome="done",event=""}}{RATE}))',
            )
        ],
        "ops",
        width=12,
    ),
    Panel(
        "Attempts that did not end well",
        [
            (
                "{{handler}} {{outcome}}",
                f'sum by (handler, outcome) (rate(platform_deliveries_total{{$scope,outcome!="done"}}{RATE}))',
            )
        ],
        "ops",
    ),
    Panel(
        "From event to effect, p95",
        _quantiles("platform_delivery_lag_seconds_bucket{$scope}", "handler"),
        "s",
    ),
    Panel("Duration, p95", _quantiles("platform_delivery_duration_seconds_bucket{$scope}", "handler"), "s"),
    Panel("Due", [("{{module}}", "sum by (module) (platform_deliveries_due{$scope})")]),
    Panel(
        "Oldest due",
        [("{{module}}", "max by (module) (platform_deliveries_oldest_due_seconds{$scope})")],
        "s",
        alarm=60,
    ),
    Panel(
        "Dead and parked",
        [
            (
                "{{module}} {{status}}",
                "sum by (module, status) (platform_deliveries_set_aside{$scope}) or vector(0)",
            )
        ],
        alarm=1,
    ),
    Panel(
        "Sagas that ended",
        [("{{saga}} {{outcome}}", f"sum by (saga, outcome) (rate(platform_sagas_total{{$scope}}{RATE}))")],
        "ops",
    ),
    Panel(
        "Sagas under way",
        [("{{saga}} {{status}}", "sum by (saga, status) (platform_sagas_open{$scope}) or vector(0)")],
    ),
    Panel(
        "Lines of the trail without their link",
        [("waiting", "max(platform_audit_unchained{$scope})")],
        alarm=10_000,
    ),
]

DATABASE = [
    Panel(
        "Connections lent",
        [("{{module}} {{purpose}}", "sum by (module, purpose) (platform_database_connections{$scope})")],
        width=12,
    ),
    Panel(
        "Fullest pool",
        [
            (
                "{{module}} {{purpose}}",
                f"max by (module, purpose) ({POOLS})",
            )
        ],
        "percentunit",
        width=12,
        alarm=0.9,
    ),
    Panel(
        "Callers that got no connection",
        [
            (
                "{{module}} {{purpose}}",
                f"sum by (module, purpose) (rate(platform_database_pool_refusals_total{{$scope}}{RATE}))",
            )
        ],
        "ops",
        width=12,
        alarm=0.001,
    ),
    Panel(
        "Connections at most, all pools full",
        [("connections", "sum(platform_database_pool_size{$scope})")],
        width=12,
        help="Pools that were opened so far; compare with max_connections, docs/operations/scaling.md.",
    ),
    Panel(
        "Requests answered 503",
        [
            (
                "{{module}}",
                f'sum by (module) (rate(platform_http_requests_total{{$scope,status="503"}}{RATE})) or vector(0)',
            )
        ],
        "reqps",
        width=12,
    ),
    Panel(
        "Replica: how old its answers can be",
        [("{{pod}} {{instance}}", "platform_replica_lag_seconds{$scope}")],
        "s",
        width=12,
        alarm=10,
        help="Infinite while it is away: queries then go to the primary. 0 where there is none.",
    ),
    Panel(
        "Redis: packets without an answer",
        [("{{pod}} {{instance}}", f"rate(platform_redis_failures{{$scope}}{RATE})")],
        "ops",
        width=12,
    ),
]

DASHBOARDS: Final = {
    "overview": ("Platform: overview", OVERVIEW),
    "module": ("Platform: one module", MODULE),
    "events": ("Platform: events and sagas", EVENTS),
    "database": ("Platform: database", DATABASE),
}


def main() -> int:
    """Write or check the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = [name for name, text in files().items() if _current(name) != text]
    if not check:
        TARGET.mkdir(parents=True, exist_ok=True)
        for name, text in files().items():
            (TARGET / name).write_text(text, encoding="utf-8")
    if stale:
        print(("out of date: " if check else "written: ") + ", ".join(stale))
    return 1 if check and stale else 0


def files() -> dict[str, str]:
    """Return every dashboard's text by file name."""
    return {
        f"{name}.json": json.dumps(_dashboard(name, title, panels), indent=1) + "\n"
        for name, (title, panels) in DASHBOARDS.items()
    }


def _current(name: str) -> str:
    path = TARGET / name
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _dashboard(name: str, title: str, panels: Sequence[Panel]) -> dict[str, Any]:
    return {
        "uid": f"platform-core-{name}",
        "title": title,
        "tags": ["platform-core"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "links": [{"type": "dashboards", "tags": ["platform-core"], "title": "Platform", "keepTime": True}],
        "templating": {"list": list(_variables(panels))},
        "panels": list(_placed(panels)),
    }


def _variables(panels: Sequence[Panel]) -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    yield _choice("namespace", "label_values(platform_build_info, namespace)")
    yield _choice("component", 'label_values(platform_build_info{namespace=~"$namespace"}, component)')
    if any("$module" in query for panel in panels for _, query in panel.queries):
        yield _choice("module", 'label_values(platform_module_up{namespace=~"$namespace"}, module)')


def _choice(name: str, query: str) -> dict[str, Any]:
    # everything may be without the label at all, as in Compose, so "all" matches the empty text too
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _placed(panels: Sequence[Panel]) -> Iterator[dict[str, Any]]:
    x = y = height = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > COLUMNS:
            x, y = 0, y + height
        height = 4 if panel.kind == "stat" else 8
        yield _panel(number, panel) | {"gridPos": {"x": x, "y": y, "w": panel.width, "h": height}}
        x += panel.width


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.alarm is not None:
        steps.append({"color": "red", "value": panel.alarm})
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.help,
        "datasource": SOURCE,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "thresholds": {"mode": "absolute", "steps": steps},
                "custom": {"fillOpacity": 8, "showPoints": "never"} if panel.kind == "timeseries" else {},
            },
            "overrides": [],
        },
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": query.replace("$scope", 'namespace=~"$namespace",component=~"$component"'),
                "legendFormat": legend,
            }
            for index, (legend, query) in enumerate(panel.queries)
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
