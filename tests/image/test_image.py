"""Migrations, seeds, API, worker and scheduler run from the image, with as little as a container can have."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest
from topology_rig.database import OWNER, Server, lone_server
from topology_rig.surroundings import Redis, metrics

from platform_core.embedded.tcp import free_port
from user_management.testing import new_signing_key

if TYPE_CHECKING:
    from container_engine import Engine

PATIENCE_SECONDS = 90
PASSWORD = "a long enough sentence"


@pytest.fixture
def database() -> Iterator[Server]:
    home = Path(tempfile.mkdtemp(prefix="platform-image-servers-"))
    home.chmod(0o711)
    server = lone_server(home / "postgres")
    yield server
    server.part.close()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path / "redis")
    server.start()
    yield server
    server.close()


@pytest.fixture
def environment(database: Server, redis: Redis) -> Mapping[str, str]:
    return {
        "PLATFORM_ENV": "production",
        "PLATFORM_PUBLIC_URL": "https://localhost",
        "PLATFORM_ALLOWED_HOSTS": "localhost",
        "DATABASE_URL": database.url(OWNER),
        "REDIS_URL": redis.url,
        "STORAGE_URL": "file:///tmp/files",
        "PLATFORM_SECRET_KEY": secrets.token_urlsafe(48),
        "PLATFORM_USER_MANAGEMENT_PASSWORD_PEPPER": secrets.token_urlsafe(48),
        "PLATFORM_USER_MANAGEMENT_SIGNING_KEY": new_signing_key(),
    }


def eventually(done: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < until, "it is not so in time"
        time.sleep(0.2)


def test_every_process_runs_from_the_image_and_ends_in_order(
    image: tuple[Engine, str],
    database: Server,
    environment: Mapping[str, str],
    record_property: Callable[[str, object], None],
) -> None:
    engine, name = image
    engine.once(name, environment, "db", "upgrade")
    engine.once(name, environment, "seed")
    ports = {role: free_port() for role in ("api", "worker", "scheduler")}
    public = free_port()
    arguments = {"api": ["serve", "--port", str(public)], "worker": ["worker"], "scheduler": ["scheduler"]}
    for role, port in ports.items():
        own = {**environment, "PLATFORM_INTERNAL_PORT": str(port)}
        engine.start(role, name, own, *arguments[role])
    for port in ports.values():
        eventually(lambda port=port: "platform_build_info" in metrics(port))

    ann = {"email": "ann@example.com", "username": "ann", "password": PASSWORD}
    answer = httpx2.post(
        f"http://localhost:{public}/api/v1/users/register", json=ann, trust_env=False, timeout=30
    )
    assert answer.status_code == 201, answer.text
    done = (
        "SELECT 1 FROM platform.deliveries WHERE handler = 'notification.user_registered' AND status = 'done'"
    )
    eventually(lambda: database.ask(done, OWNER))

    for role in ports:
        assert engine.podman("exec", role, "id", "-u").strip() == "10001"
        engine.podman("exec", role, "touch", "/opt/platform/x", fails=True)
        engine.podman("healthcheck", "run", role)
        engine.podman("stop", "--time", "40", role)
        assert engine.inspected(role)["State"]["ExitCode"] == 0, engine.podman("logs", role)
    record_property("chaos", f"the image: {engine.inspected(name)['Size'] / 1e6:.0f} MB")


def test_the_image_tells_what_is_in_it(image: tuple[Engine, str]) -> None:
    engine, name = image
    bill = json.loads(engine.podman("run", "--rm", "--entrypoint=cat", name, "/opt/platform/sbom.cdx.json"))
    names = {component["name"] for component in bill["components"]}
    assert {"platform-core", "platform-plugin-orders", "fastapi", "psycopg"} <= names
    assert not {"pytest", "pip", "ruff"} & names
    told = engine.inspected(name)["Config"]
    assert told["User"] == "10001:10001"
    assert told["Labels"]["org.opencontainers.image.revision"] == "test"


def test_a_module_that_is_not_here_is_not_looked_for_elsewhere(image: tuple[Engine, str]) -> None:
    """
    Red when it is asked of an index, where anybody may have taken its name.

    The code is asked for, which only this refusal has: on a busy machine buildah may lose the last words of a step.
    """
    engine, _ = image
    with pytest.raises(AssertionError, match=r"exit status 64$"):
        engine.build("platform-core:ghost", MODULES="orders,ghost")


def test_an_image_has_the_modules_that_it_was_built_with(image: tuple[Engine, str]) -> None:
    engine, _ = image
    small = engine.build("platform-core:orders", MODULES="orders")
    listed = engine.podman(
        "run", "--rm", "--env=PLATFORM_ENV=development", small, "modules", "list", "--json"
    )
    assert {module["name"] for module in json.loads(listed)} == {"platform", "courses", "orders"}
