"""A real Prometheus scrapes real processes: every panel of every dashboard has something to show."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from platform_core.embedded.tcp import free_port
from platform_core.testing import PlatformFactory, RunPlatform, run_process
from user_management.testing import essentials, sign_up

pytestmark = [
    pytest.mark.long,
    pytest.mark.processes,
    pytest.mark.skipif(
        shutil.which("prometheus") is None, reason="no Prometheus: apt-get install prometheus"
    ),
]

DASHBOARDS = Path(__file__).parents[2] / "helm" / "platform" / "files" / "dashboards"
ONLY_IN_TROUBLE = {
    "Event loop held up": "no loop was",
    "Errors": "nothing failed",
    "Attempts that did not end well": "each did",
    "Waiting and set aside": "nothing is set aside",
    "Sagas that ended": "no module with a saga is installed here",
}
"""Panel → why one of its queries may be empty."""


def queries() -> Iterator[tuple[str, str]]:
    chosen = {"namespace": ".*", "component": ".*", "module": ".*", "__rate_interval": "10s"}
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield panel["title"], re.sub(r"\$(\w+)", lambda name: chosen[name[1]], target["expr"])


def ask(prometheus: int, query: str) -> list[Any]:
    answer = httpx2.get(f"http://127.0.0.1:{prometheus}/api/v1/query", params={"query": query}, timeout=10)
    assert answer.status_code == 200, f"{query}: {answer.text}"
    result: list[Any] = answer.json()["data"]["result"]
    return result


async def test_every_panel_shows_something_of_a_running_platform(
    platform: PlatformFactory, run_platform: RunPlatform, tmp_path: Path
) -> None:
    ports = {name: free_port() for name in ("api", "worker", "scheduler")}
    targets = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"component": name, "namespace": "test"}}
        for name, port in ports.items()
    ]
    jobs = [{"job_name": "platform", "static_configs": targets}]
    (tmp_path / "prometheus.json").write_text(
        json.dumps({"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "scrape_configs": jobs})
    )
    public, watcher = free_port(), free_port()
    program = [
        "prometheus",
        f"--config.file={tmp_path}/prometheus.json",
        f"--storage.tsdb.path={tmp_path}/tsdb",
        f"--web.listen-address=127.0.0.1:{watcher}",
    ]
    async with platform(["user_management", "notification"], seed=essentials, mail=True) as p:
        ann = await sign_up(p, "ann")
        env = p.environment

        def internal(name: str) -> dict[str, str]:
            return {**env, "PLATFORM_INTERNAL_PORT": str(ports[name])}

        with (
            run_platform("serve", "--port", str(public), env=internal("api"), ready="serving"),
            run_platform("worker", env=internal("worker"), ready="worker started"),
            run_platform("scheduler", env=internal("scheduler"), ready="this scheduler acts"),
            run_process(program, ready="Server is ready"),
        ):
            await asyncio.to_thread(_busy, public, ann.access_token, 15)
            empty = [title for title, query in queries() if not ask(watcher, query)]
    assert set(empty) <= ONLY_IN_TROUBLE.keys(), "nothing to show"


def _busy(port: int, token: str, seconds: float) -> None:
    """Be a client for a while: people register, so that events and mails go out; one reads."""
    until, number = time.monotonic() + seconds, 0
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=20) as client:
        while time.monotonic() < until:
            number += 1
            somebody = {
                "email": f"p{number}@example.com",
                "username": f"person-{number}",
                "password": "long enough by far",  # pragma: allowlist secret
            }
            assert client.post("/users/register", json=somebody).status_code == 201
            me = client.get("/users/me", headers={"Authorization": f"Bearer {token}"})
            assert me.status_code == 200
            time.sleep(0.1)
