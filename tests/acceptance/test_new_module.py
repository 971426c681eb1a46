"""What `platform modules new` writes is a package like any other: built, installed, tested, migrated, served."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Machine

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def machine(new_machine: Callable[[str], Machine]) -> Machine:
    return new_machine("author")


def run_in(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


def installed(machine: Machine, kind: str) -> Path:
    """Have a module of that kind written, built, checked and installed, unless it is; returns its sources."""
    source = machine.desk / f"platform-plugin-{kind}-blog"
    if not source.exists():
        machine.platform("modules", "new", f"{kind}_blog", *(["--minimal"] if kind == "minimal" else []))
        wheel = machine.build(source)
        machine.platform("modules", "check", str(wheel), PLATFORM_ENV="development")
        machine.install(wheel)
    return source


@pytest.mark.parametrize("kind", ["full", "minimal"])
def test_a_new_module_is_installed_and_its_tests_pass(
    machine: Machine, kind: str, record_property: Callable[[str, object], None]
) -> None:
    began = time.monotonic()
    source = installed(machine, kind)
    run_in(source, machine.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    # a promise for a quiet machine, and no reason to fail on one that runs other tests, too
    record_property("seconds from `new` to tests that pass", round(time.monotonic() - began, 1))
    for tool in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy", "--no-incremental", "src"]):
        run_in(source, sys.executable, "-m", *tool)


def test_a_frozen_set_is_installed_again_from_its_wheels(machine: Machine) -> None:
    for kind in ("full", "minimal"):
        installed(machine, kind)
    file = machine.desk / "modules.txt"
    file.write_text(machine.platform("modules", "freeze", PLATFORM_MODULES="full_blog,minimal_blog").stdout)
    machine.uninstall("platform-plugin-minimal-blog")
    told = machine.platform("modules", "sync", str(file), "--check", fails=True).stdout
    assert told == "minimal_blog: it is not installed\n"
    [changed] = machine.home.glob("environment/lib/python*/site-packages/full_blog/domain.py")
    changed.write_text(changed.read_text() + "\n# somebody was here\n")
    wheels = machine.home / "wheelhouse"
    wheels.mkdir()
    for wheel in machine.home.glob("wheels/*/*.whl"):
        (wheels / wheel.name).write_bytes(wheel.read_bytes())
    told = machine.platform("modules", "sync", str(file), "--find-links", str(wheels), "--no-index").stdout
    assert told == "3 as they were frozen.\n"
