"""Dashboards and alerts ask for what a running platform tells, and say what to do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from platform_core._gauges import Backlog
from platform_core.testing import PlatformFactory

REPOSITORY = Path(__file__).parents[2]
FILES = REPOSITORY / "helm" / "platform" / "files"
NAME = re.compile(r"\b(?:platform|process)_[a-z_]+\b")
SUFFIXES = re.compile(r"_(bucket|sum|count|total)$")


def asked_for() -> dict[str, set[str]]:
    """Return metric → where it is asked for."""
    found: dict[str, set[str]] = {}
    for where, query in [*panel_queries(), *alert_queries()]:
        for name in NAME.findall(query):
            found.setdefault(SUFFIXES.sub("", name), set()).add(where)
    return found


def panel_queries() -> Iterator[tuple[str, str]]:
    for path in sorted((FILES / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]


def alert_queries() -> Iterator[tuple[str, str]]:
    for group in yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


async def test_dashboards_and_alerts_ask_for_what_the_platform_tells(platform: PlatformFactory) -> None:
    async with platform(["user_management", "notification"]) as p:
        backlog = Backlog(p.kernel.pools.claims)
        p.kernel.metrics.registry.register(backlog)
        await backlog.look()
        told = {
            SUFFIXES.sub("", family.name)
            for family in text_string_to_metric_families(p.kernel.metrics.render().decode())
        }
    asked = asked_for()
    assert {name: where for name, where in asked.items() if name not in told} == {}
    unseen = {name for name in told if name.startswith("platform_")} - asked.keys()
    assert unseen == {"platform_standings_trusted"}, "exported, and nobody looks at it"


def test_every_alert_has_a_page_that_says_what_to_do() -> None:
    page = (REPOSITORY / "docs" / "operations" / "runbooks.md").read_text()
    headings = re.findall(r"^## (\w+)$", page, re.M)
    rules = [
        rule
        for group in yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"]
        for rule in group["rules"]
    ]
    assert sorted(headings) == sorted(rule["alert"] for rule in rules)
    for rule in rules:
        assert rule["annotations"]["runbook"] == f"docs/operations/runbooks.md#{rule['alert'].lower()}"


def test_the_dashboards_are_what_their_generator_writes() -> None:
    done = subprocess.run([sys.executable, "tools/dashboards.py", "--check"], cwd=REPOSITORY)
    assert done.returncode == 0, "run: uv run python tools/dashboards.py"


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not here: apt-get install prometheus"
)
def test_each_alert_is_raised_by_what_it_is_for() -> None:
    tests = REPOSITORY / "tests" / "deploy" / "alerts_test.yaml"
    done = subprocess.run(["promtool", "test", "rules", str(tests)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    tried = set(re.findall(r"alertname: (\w+)", tests.read_text()))
    assert tried == {name for name, _ in alert_queries()}
