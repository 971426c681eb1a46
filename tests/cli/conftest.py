"""
Fixtures of the command line's tests: it runs as people run it, in a process and a directory of its own.

Forked, not started: what a command does is tested here. That the program can be started at all is proved by the tests
that use `run_process`, one for each kind of process, and by tests/acceptance.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from platform_core.testing import RunPlatform

OURS = ("PLATFORM_", "DATABASE_URL", "READ_DATABASE_URL", "REDIS_URL", "SMTP_URL", "STORAGE_URL", "OTEL_")


@dataclass(frozen=True)
class Outcome:
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


CommandLine = Callable[..., Outcome]


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take what the platform would read out of the environment."""
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)


@pytest.fixture
def cli(tmp_path: Path, run_platform: RunPlatform, nothing_set: None) -> CommandLine:
    """Run `platform ARGUMENTS` in an empty directory; `env` is all that it is told."""

    def run(*arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Outcome:
        with tempfile.TemporaryDirectory() as directory:
            errors = Path(directory) / "errors"
            with run_platform(*arguments, env=env, cwd=cwd or tmp_path, errors=errors) as process:
                code = process.wait(timeout_seconds=120)
                return Outcome(code, process.output, errors.read_text(encoding="utf-8"))

    return run
