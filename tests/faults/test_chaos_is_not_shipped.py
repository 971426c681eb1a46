"""The points at which tests kill processes are made by the tests; what ships has none."""

from __future__ import annotations

import importlib
from pathlib import Path

from fault_rig import chaos
from fault_rig.house import House

ROOT = Path(__file__).parents[2]


def test_nothing_that_runs_in_production_knows_of_chaos() -> None:
    """What is published to authors, and grades modules, does; no process imports those (`import_contracts.py`)."""
    kits = {ROOT / "platform_core" / room for room in ("testing", "_conformance", "_surface")}
    shipped = [ROOT / "platform_core", ROOT / "alembic", ROOT / "seeds", *ROOT.glob("plugins/*/src")]
    files = [
        path
        for directory in shipped
        for path in directory.rglob("*")
        if path.suffix in (".py", ".toml") and not kits & {*path.parents}
    ]
    assert len(files) > 100
    assert [path for path in files if "chaos" in path.read_text(encoding="utf-8").lower()] == []


def test_every_point_is_a_function_of_the_kernel() -> None:
    for module, owner, method, _ in chaos.POINTS.values():
        assert callable(getattr(getattr(importlib.import_module(module), owner), method))


async def test_a_shipped_process_passes_every_point_unharmed(house: House) -> None:
    environment = {"CHAOS_POINT": "before_commit:1", "CHAOS_COPIES": "50"}
    api, worker = await house.api(environment=environment), await house.worker(environment=environment)
    assert (await house.register(api.client, "ada")).status_code == 201
    await house.check()
    assert (api.process.exit_code, worker.exit_code) == (None, None)
