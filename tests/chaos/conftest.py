"""
Chaos on the shipped modules, with the rig that module authors use on theirs (`platform_core.testing.chaos`).

Nothing that a client was told may turn out untrue, whatever dies in between. `--chaos-scale` says how much of it,
`--chaos-seed` repeats the faults of a run that failed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

# test files import what they share while they are collected
sys.path.append(str(HERE))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.processes)
