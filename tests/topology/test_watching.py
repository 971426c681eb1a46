"""What operators see of all that: every panel and every alert has something to look at, and the pictures are drawn."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from topology_rig.watcher import RULES, SCRAPE_SECONDS

if TYPE_CHECKING:
    from topology_rig.life import Life
    from topology_rig.watcher import Watcher

REPOSITORY = Path(__file__).parents[2]
DASHBOARDS = REPOSITORY / "helm" / "platform" / "files" / "dashboards"
PICTURES = REPOSITORY / "build" / "dashboards"
METRIC = re.compile(r"\b(?:platform|process)_[a-z_]+\b")
CHOSEN = {"namespace": ".*", "component": ".*", "module": ".*", "__rate_interval": f"{SCRAPE_SECONDS * 4}s"}
AT_WORK_SECONDS, MOST_MINUTES = 60.0, 20.0
ONLY_IN_TROUBLE = {
    "platform_loop_lag_seconds_sum": "no event loop was held up",
    "platform_database_pool_refusals_total": "no pool was empty",
    "platform_deliveries_set_aside": "nothing was given up",
    "platform_deliveries_resting": "no module was off",
}
"""Metrics that are not there before their trouble."""


def panels() -> Iterator[tuple[str, str]]:
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield (
                    f"{path.stem}: {panel['title']}",
                    re.sub(r"\$(\w+)", lambda name: CHOSEN[name[1]], target["expr"]),
                )


def alerts() -> Iterator[tuple[str, str]]:
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def test_every_panel_and_every_alert_looks_at_something(watcher: Watcher) -> None:
    empty = []
    for where, query in [*panels(), *alerts()]:
        watcher.ask(query)  # it is understood
        asked = set(METRIC.findall(query)) - ONLY_IN_TROUBLE.keys()
        minutes = max(1, round((time.time() - watcher.began) / 60) + 1)
        empty += [(where, name) for name in asked if not watcher.ask(f"count_over_time({name}[{minutes}m])")]
    assert empty == []


async def test_the_dashboards_are_drawn(watcher: Watcher, living: Life) -> None:
    """While people read and write, so that what a legend says of this moment is something."""
    await asyncio.sleep(AT_WORK_SECONDS)
    await asyncio.to_thread(draw, watcher)
    for path in DASHBOARDS.glob("*.json"):
        assert (PICTURES / f"{path.stem}.svg").read_text(encoding="utf-8").startswith("<svg")


def draw(watcher: Watcher) -> None:
    minutes = min(MOST_MINUTES, max(1.0, (time.time() - watcher.began) / 60))
    command = [sys.executable, "tools/panels.py", watcher.url, str(PICTURES), f"--minutes={minutes:g}"]
    subprocess.run([*command, f"--scrape-seconds={SCRAPE_SECONDS}"], cwd=REPOSITORY, check=True)
