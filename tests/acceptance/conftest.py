"""
A deployer's machine: an environment outside of the repository in which modules come and go by pip.

It sees what the tests' own environment has installed, and adds to it; nothing is downloaded. Wheels are built by the
modules' own build back ends, installed by a real pip, and the platform runs as real processes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path

import pytest

from platform_core.testing import PluginSource, RunningProcess, run_process
from user_management.testing import settings_for_tests

HERE = Path(__file__).parent
SAMPLES = HERE.parent / "samples"

_READY = {
    "serve": r'"url": ?"(?P<url>http[^"]+)"',
    "worker": "worker started",
    "scheduler": "scheduler started",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.processes)
            item.add_marker(pytest.mark.slow)


@dataclass
class Machine:
    """
    Where a deployer works.

    Attributes:
        home: the directory of the environment; commands run in an empty one beside it.
        settings: environment variables of every command, to be completed by tests.
    """

    home: Path
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def python(self) -> str:
        return str(self.home / "environment" / "bin" / "python")

    @property
    def desk(self) -> Path:
        return self.home / "desk"

    def pip(self, *arguments: str) -> None:
        """Run pip without a package index."""
        command = [self.python, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
        done = subprocess.run(
            command, cwd=self.desk, env=_plain_environment(), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"

    def build(self, project: Path) -> Path:
        """Build a project's wheel from a copy of its source, by its own build back end."""
        copy = self.home / "source" / project.name
        shutil.copytree(project, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        return self.build_in_place(copy)

    def build_in_place(self, project: Path) -> Path:
        """Build a project's wheel where it lies."""
        wheels = self.home / "wheels" / project.name
        offline = ["--no-index", "--no-deps", "--no-build-isolation"]
        self.pip("wheel", "--quiet", *offline, "--wheel-dir", str(wheels), str(project))
        [wheel] = wheels.glob("*.whl")
        return wheel

    def pack(self, source: PluginSource) -> Path:
        """Make the wheel of a plugin that exists in a test only; a wheel is a zip file with metadata and a list."""
        folder = self.home / "source" / (source.distribution or source.name)
        folder.mkdir(parents=True)
        source.write(folder)
        [metadata] = folder.glob("*.dist-info")
        (metadata / "WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        (metadata / "RECORD").write_text("".join(f"{path.relative_to(folder)},,\n" for path in files))
        wheel = self.home / f"{metadata.stem}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for path in (*files, metadata / "RECORD"):
                archive.write(path, path.relative_to(folder))
        return wheel

    def install(self, *wheels: Path, whatever_they_require: bool = False) -> None:
        """
        `pip install`.

        Args:
            whatever_they_require: also where something that a wheel requires is missing, or too old.
        """
        options = ["--no-deps"] if whatever_they_require else []
        self.pip("install", "--quiet", "--no-index", *options, *map(str, wheels))

    def uninstall(self, distribution: str) -> None:
        self.pip("uninstall", "--quiet", "--yes", distribution)

    def platform(
        self, *arguments: str, fails: bool = False, timeout_seconds: float = 120, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """
        Run `platform …` to its end.

        Args:
            fails: exit code 1 is expected, instead of 0.
            more: further environment variables.
        """
        done = subprocess.run(
            [self.python, "-m", "platform_core", *arguments],
            cwd=self.desk,
            env={**_plain_environment(), **self.settings, **more},
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
        )
        told = f"platform {' '.join(arguments)} → {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == (1 if fails else 0), told
        assert "Traceback" not in done.stdout + done.stderr, told
        return done

    def start(
        self, process: str, *, ready: bool = True, timeout_seconds: float = 60, **more: str
    ) -> AbstractContextManager[RunningProcess]:
        """
        Run `platform serve`, `worker` or `scheduler` for the length of a block, which begins when it is ready.

        `address(running)` tells where `serve` listens.
        """
        options = ["--port", "0"] if process == "serve" else []
        return run_process(
            [self.python, "-m", "platform_core", process, *options],
            env={**_plain_environment(), **self.settings, **more},
            cwd=self.desk,
            ready=_READY[process] if ready else None,
            timeout_seconds=timeout_seconds,
        )


def _plain_environment() -> dict[str, str]:
    """What every program gets; compiled modules are kept, because dozens of processes import the same ones."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PLATFORM_", "UV_"))
    }
    return {**kept, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPATH": "", "VIRTUAL_ENV": ""}


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of the sample distributions."""
    return SAMPLES


@pytest.fixture(scope="session")
def address() -> Callable[[RunningProcess], str]:
    """Return where a ready `platform serve` listens."""
    return lambda running: running.wait_for_line(_READY["serve"])["url"]


@pytest.fixture(scope="session")
def new_machine(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Machine]:
    """Make a machine: `new_machine("name")`; a session has few, each takes seconds."""

    def make(name: str) -> Machine:
        machine, site_packages = _bare_machine(tmp_path_factory.mktemp(name))
        # `addsitedir` reads the .pth files there, which is how the workspace's own packages are installed
        lines = [f"import site; site.addsitedir({path!r})" for path in _own_site_packages()]
        (site_packages / "what_the_tests_have.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return machine

    return make


@pytest.fixture(scope="session")
def clean_machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine that has other people's libraries only: nothing of this repository, no checkout on its path."""
    machine, site_packages = _bare_machine(tmp_path_factory.mktemp("clean"))
    for library in _libraries():
        if not (site_packages / library.name).exists():
            (site_packages / library.name).symlink_to(library)
    return machine


def _bare_machine(home: Path) -> tuple[Machine, Path]:
    """Make an environment; returns it, and where its packages are."""
    machine = Machine(home)
    machine.desk.mkdir()
    environment = machine.home / "environment"
    subprocess.run(
        [sys.executable, "-m", "virtualenv", "--quiet", "--no-download", str(environment)],
        check=True,
        env=_plain_environment(),
    )
    [site_packages] = environment.glob("lib/python*/site-packages")
    return machine, site_packages


def _libraries() -> set[Path]:
    """Return what the tests' environment has installed, but for the packages of this repository."""
    return {
        Path(str(distribution.locate_file(file.parts[0])))
        for distribution in distributions(path=_own_site_packages())
        if not re.match(r"platform[-_](core|plugin)", distribution.metadata["Name"])
        for file in distribution.files or ()
        if file.parts[0] not in ("..", "__pycache__") and file.suffix != ".pth"
    }


def _own_site_packages() -> list[str]:
    paths = sysconfig.get_paths()
    return list(dict.fromkeys([paths["purelib"], paths["platlib"]]))


@pytest.fixture
def services(fresh_database_url: str, fresh_redis_url: str, tmp_path: Path) -> Mapping[str, str]:
    """Settings of a platform with an empty database and Redis, as a deployer's environment would hold them."""
    return {
        "DATABASE_URL": fresh_database_url,
        "REDIS_URL": fresh_redis_url,
        "STORAGE_URL": f"file://{tmp_path / 'files'}",
        "PLATFORM_ENV": "test",
        "PLATFORM_SECRET_KEY": "only-for-tests-and-long-enough-for-them",
        "PLATFORM_ADMIN_EMAIL": "admin@example.com",
        "PLATFORM_ADMIN_PASSWORD": "a long enough sentence",
        "PLATFORM_RATE_LIMIT_ANONYMOUS": "1000000/second",
        "PLATFORM_RATE_LIMIT_SIGNUP": "1000000/second",
        "PLATFORM_RATE_LIMIT_USER": "1000000/second",
        **settings_for_tests(),
    }
