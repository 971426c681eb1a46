"""buildah and podman on storage of their own: nothing of the machine's own set-up is used or changed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
BASE = "docker.io/library/python:3.11-slim-bookworm"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"

_ENGINE = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=2000:2000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
"""


class Engine:
    """
    Example:
        with Engine() as engine:
            engine.make_base()
            image = engine.build("platform-core:test")
            engine.podman("run", "--rm", image, "--version")
    """

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="platform-image-"))
        (self._home / "containers.conf").write_text(_ENGINE)
        driver = "overlay" if self._can_overlay() else "vfs"
        storage = f'[storage]\ndriver = "{driver}"\nrunroot = "{self._home}/run"\ngraphroot = "{self._home}/images"\n'
        (self._home / "storage.conf").write_text(storage)
        self._environment = {
            **os.environ,
            "CONTAINERS_CONF": str(self._home / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self._home / "storage.conf"),
            "BUILDAH_ISOLATION": "chroot",
        }

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(AssertionError):
            self.podman("rm", "--all", "--force", "--time", "1")
        shutil.rmtree(self._home, ignore_errors=True)

    def make_base(self) -> None:
        """Make a Debian with Python, under the name of the public image."""
        root = self._home / "debian"
        packages = "python3,python3-venv,ca-certificates"
        self._run("debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(root))
        shutil.rmtree(root / "var" / "cache" / "apt", ignore_errors=True)
        shutil.copy(CERTIFICATES, root / CERTIFICATES[1:])  # whom this machine trusts
        container = self._run("buildah", "from", "scratch").strip()
        self._run("buildah", "copy", "--quiet", container, str(root), "/")
        for variable in ("PIP_CERT", "SSL_CERT_FILE"):  # pip's and uv's
            self._run("buildah", "config", "--env", f"{variable}={CERTIFICATES}", container)
        self._run("buildah", "commit", "--quiet", container, BASE)
        self._run("buildah", "rm", container)
        shutil.rmtree(root)

    def build(self, name: str, **arguments: str) -> str:
        """Build the repository's Dockerfile and return the image's name."""
        given = [f"--build-arg={key}={value}" for key, value in arguments.items()]
        options = [
            "--format=docker",
            "--pull-never",
            "--target=runtime",
            *given,
        ]  # docker: HEALTHCHECK is kept
        self._run("buildah", "bud", "--quiet", *options, "--tag", name, str(REPOSITORY))
        return name

    def podman(self, *arguments: str, fails: bool = False) -> str:
        """Run podman to its end and return what it prints."""
        return self._run("podman", *arguments, fails=fails)

    def start(self, name: str, image: str, environment: Mapping[str, str], *arguments: str) -> None:
        """Run a container as the chart would: read-only, without a capability, on this machine's network."""
        self.podman("run", "--detach", f"--name={name}", *self._as_deployed(environment), image, *arguments)

    def once(self, image: str, environment: Mapping[str, str], *arguments: str) -> str:
        """Run a container to its end, which has to be a good one."""
        return self.podman("run", "--rm", *self._as_deployed(environment), image, *arguments)

    def inspected(self, name: str) -> Any:
        """Return what is known of a container or image."""
        [told] = json.loads(self.podman("inspect", name))
        return told

    def _can_overlay(self) -> bool:
        """Say whether layers can share files; where not, each is a whole copy, which takes minutes."""
        lower, upper, work, merged = (self._home / name for name in ("lower", "upper", "work", "merged"))
        for folder in (lower, upper, work, merged):
            folder.mkdir()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        tried = subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", options, str(merged)],
            check=False,
            capture_output=True,
        )
        if tried.returncode == 0:
            subprocess.run(["umount", str(merged)], check=True)
        return tried.returncode == 0

    def _as_deployed(self, environment: Mapping[str, str]) -> list[str]:
        self._environment |= environment  # from where `--env=NAME` takes them: a key has more than one line
        return [
            "--network=host",
            "--read-only",
            "--tmpfs=/tmp",
            "--cap-drop=all",
            "--security-opt=no-new-privileges",
            *(f"--env={name}" for name in environment),
        ]

    def _run(self, *command: str, fails: bool = False) -> str:
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, check=False, timeout=1500
        )
        assert (done.returncode != 0) == fails, (
            f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        )
        return done.stdout
