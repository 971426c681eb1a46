"""Prometheus beside the site: it looks at every process each second, from the first test to the last."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx2

from platform_core.embedded.tcp import free_port
from topology_rig.part import Part, listens
from topology_rig.site import Site

SCRAPE_SECONDS = 2
RULES = Path(__file__).parents[3] / "helm" / "platform" / "files" / "alerts.yaml"


class Watcher:
    """
    Attributes:
        url: of its HTTP API.
        began: seconds since 1970.
    """

    def __init__(self, site: Site) -> None:
        home, port = site.home / "prometheus", free_port()
        home.mkdir()
        targets = [
            {
                "targets": [f"127.0.0.1:{one.internal_port}"],
                "labels": {"component": one.role, "namespace": "topology", "pod": one.name.replace(" ", "-")},
            }
            for one in site.processes.values()
        ]
        relabel = [
            {"source_labels": ["pod"], "target_label": "instance"}
        ]  # instead of a port that says nothing
        job = {"job_name": "platform", "static_configs": targets, "relabel_configs": relabel}
        every = {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"}
        configuration = {"global": every, "scrape_configs": [job], "rule_files": [str(RULES)]}
        (home / "prometheus.json").write_text(json.dumps(configuration))
        command = ["prometheus", f"--config.file={home}/prometheus.json", f"--storage.tsdb.path={home}/tsdb"]
        self.part = Part("prometheus", [*command, f"--web.listen-address=127.0.0.1:{port}"], listens(port))
        self.url, self.began = f"http://127.0.0.1:{port}", time.time()

    def ask(self, query: str) -> list[Any]:
        """Return what a query says of this moment."""
        answer = httpx2.get(f"{self.url}/api/v1/query", params={"query": query}, trust_env=False, timeout=30)
        assert answer.status_code == 200, f"{query}: {answer.text}"
        found: list[Any] = answer.json()["data"]["result"]
        return found
