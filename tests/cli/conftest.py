"""Fixtures of the command line's tests: it runs as people run it, in a process and a directory of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PLATFORM = (sys.executable, "-m", "platform_core")
OURS = ("PLATFORM_", "DATABASE_URL", "READ_DATABASE_URL", "REDIS_URL", "SMTP_URL", "STORAGE_URL", "OTEL_")


def clean_environment(**variables: str) -> dict[str, str]:
    """The environment without anything that the platform would read, and with `variables`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**inherited, **variables}


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
def cli(tmp_path: Path) -> CommandLine:
    """Run `platform ARGUMENTS` in an empty directory; `env` is all that it is told."""

    def run(*arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Outcome:
        done = subprocess.run(
            [*PLATFORM, *arguments],
            env=clean_environment(**(env or {})),
            cwd=cwd or tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run
