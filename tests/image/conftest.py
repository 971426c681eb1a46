"""
The image as it ships, built and run: `uv run nox -s image`, and only that, because it makes a Debian first.

Public base images may be out of reach; the base is made here, by debootstrap, and gets the name that the Dockerfile
asks for. Needed: `apt-get install buildah podman runc netavark debootstrap postgresql-15 redis-server`, and root.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent

# test files import the rig while they are collected
sys.path += [str(HERE), str(HERE.parent / "topology"), str(HERE.parent / "servers")]

collect_ignore_glob = [] if os.environ.get("PLATFORM_IMAGE_TESTS") else ["test_*.py"]


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[object, str]]:
    """The engine, and the name of the image that was built with all modules."""
    from container_engine import Engine

    with Engine() as engine:
        engine.make_base()
        yield engine, engine.build("platform-core:test", VERSION="0.1.0", REVISION="test")
