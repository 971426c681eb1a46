"""The whole: what runs where, started in the order in which an operator starts it."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from platform_core.embedded.tcp import free_port
from topology_rig.database import APPLICATION, OWNER, SECOND_APPLICATION, Server, pair
from topology_rig.front import HOST, Front
from topology_rig.part import Part
from topology_rig.surroundings import Collector, Gateway, MailServer, ObjectStore, Redis, Scanner, metrics
from user_management.testing import new_signing_key

ADMINISTRATOR = "admin@example.com"
COUNT = 2
"""Of each process of the platform."""

_ACTS = re.compile(r"^platform_scheduler_acting(\{[^}]*\})? 1(\.0)?$", re.M)


@dataclass
class Process:
    """
    One process of the platform.

    Attributes:
        role: `api`, `worker` or `scheduler`.
        internal_port: of its metrics and health.
        address: of an API, as nginx calls it.
    """

    name: str
    role: str
    internal_port: int
    part: Part
    address: str = ""


@dataclass
class Site:
    """
    Attributes:
        primary: of PostgreSQL; `standby` follows it, or the other way round after a failover.
        processes: by name: `api 1`, `worker 2`.
        login: of the database, that the processes come with.
    """

    home: Path
    python: str
    primary: Server
    standby: Server
    redis: Redis
    s3: ObjectStore
    clamd: Scanner
    mail: MailServer
    gateway: Gateway
    collector: Collector
    front: Front
    settings: dict[str, str] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    login: str = APPLICATION

    # ── the platform's commands and processes ────────────────────────────────────────────────────

    def platform(self, *arguments: str, python: str | None = None, as_owner: bool = False) -> str:
        """Run `platform ARGUMENTS` to its end, as an operator, and return what it prints."""
        environment = {**os.environ, **self.settings}
        if as_owner:
            environment["DATABASE_URL"] = self.primary.url(OWNER)
            del environment["DATABASE_URL_FILE"]
        command = [python or self.python, "-m", "platform_core", *arguments]
        done = subprocess.run(
            command, env=environment, cwd=self.home, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def migrate(self, *arguments: str, python: str | None = None) -> None:
        """Migrate as the owner; the login of the processes owns nothing and may do what the modules' roles may."""
        self.platform("db", "upgrade", *arguments, python=python, as_owner=True)
        roles = self.primary.ask("SELECT role FROM platform.modules WHERE role IS NOT NULL", OWNER)
        granted = ", ".join(row["role"] for row in roles)
        self.primary.ask(f"GRANT {granted} TO {APPLICATION}, {SECOND_APPLICATION}", OWNER)

    def point_at(self, server: Server, standby: Server) -> None:
        """Tell the processes where primary and standby are; they read the files anew for each connection."""
        _replace(self.home / "database_url", server.url(self.login))
        _replace(self.home / "read_database_url", standby.url(self.login))

    def tell_redis(self) -> None:
        """Tell the processes where Redis is, and its password."""
        _replace(self.home / "redis_url", self.redis.url)

    def start(self, name: str, *, python: str | None = None) -> float:
        """Start one process, with another build's interpreter if one is given; returns the seconds until ready."""
        process = self.processes[name]
        process.part.command[0] = python or self.python
        return process.part.start()

    def exchange(self, name: str, *, python: str | None = None, **settings: str) -> None:
        """
        Replace a process as docs/operations/machines.md tells it, while the others serve.

        Args:
            python: the interpreter of its build.
            settings: that are others for the new one.
        """
        process = self.processes[name]
        if process.address:
            self.front.out(process.address)
        code = process.part.end()
        assert code == 0, f"{name} ended with {code}"
        process.part.environment |= settings
        self.start(name, python=python)
        if process.address:
            self.front.back_in(process.address)

    def of(self, role: str) -> list[Process]:
        return [process for process in self.processes.values() if process.role == role]

    def acting_schedulers(self) -> list[str]:
        """Return the names of those that act; it is one, or none for a moment."""
        return [one.name for one in self.of("scheduler") if _ACTS.search(metrics(one.internal_port))]

    def gauge(self, name: str, metric: str) -> float | None:
        """Return what a process tells Prometheus under a name without labels; None where it is away."""
        told = re.search(rf"^{metric} (\S+)$", metrics(self.processes[name].internal_port), re.M)
        return float(told[1]) if told else None

    def readiness(self, name: str) -> dict[str, object]:
        """Return what a process says of everything that it hangs on."""
        return _ready(self.processes[name].internal_port)


@contextlib.contextmanager
def site(python: str = sys.executable, settings: Mapping[str, str] | None = None) -> Iterator[Site]:
    """
    Run all of it for the length of the block.

    Args:
        python: the interpreter of the build that everything starts with.
        settings: on top of those of production.
    """
    home = Path(tempfile.mkdtemp(prefix="platform-topology-"))
    home.chmod(0o711)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        built = _build(home, python, settings or {}, stack)
        built.migrate()
        built.platform("seed")
        for process in built.processes.values():
            stack.callback(process.part.close)
            process.part.begin()
        for process in built.processes.values():
            process.part.wait_until_ready()
        stack.callback(built.front.part.close)
        built.front.part.start()
        yield built


def _build(home: Path, python: str, more: Mapping[str, str], stack: contextlib.ExitStack) -> Site:
    """Start what the platform stands on, and plan the rest."""
    primary, standby = pair(home / "postgres")
    stack.callback(primary.part.close)
    stack.callback(standby.part.close)
    redis, s3, clamd = Redis(home / "redis"), ObjectStore(home / "s3"), Scanner(home / "clamd")
    mail, gateway, collector = MailServer(home / "mail"), Gateway(), Collector(home / "spans.jsonl")
    for part in (redis, s3, clamd, mail, gateway, collector):
        stack.callback(part.close)
        part.begin()
    for part in (redis, s3, clamd, mail, gateway, collector):
        part.wait_until_ready()
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(COUNT)]
    front = Front(home / "nginx", addresses)
    built = Site(
        home=home,
        python=python,
        primary=primary,
        standby=standby,
        redis=redis,
        s3=s3,
        clamd=clamd,
        mail=mail,
        gateway=gateway,
        collector=collector,
        front=front,
    )
    built.settings |= {
        **_secrets(),
        **s3.environment_of_clients,
        "PLATFORM_ENV": "production",
        "PLATFORM_PUBLIC_URL": front.url,
        "PLATFORM_ALLOWED_HOSTS": HOST,
        "PLATFORM_TRUSTED_PROXIES": "127.0.0.1",
        "PLATFORM_ADMIN_EMAIL": ADMINISTRATOR,
        "DATABASE_URL_FILE": str(home / "database_url"),
        "READ_DATABASE_URL_FILE": str(home / "read_database_url"),
        "REDIS_URL_FILE": str(home / "redis_url"),
        "STORAGE_URL": s3.url,
        "SMTP_URL": mail.url,
        "PLATFORM_CLAMD_URL": clamd.url,
        "PAYMENT_GATEWAY_URL": gateway.url,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "PLATFORM_DATABASE_POOL_SIZE": "8",
        "PLATFORM_STARTUP_TIMEOUT_SECONDS": "120",  # machines that run other things besides take their time
        # all clients of these tests come from one address
        "PLATFORM_RATE_LIMIT_ANONYMOUS": "100000/minute",
        "PLATFORM_RATE_LIMIT_USER": "100000/minute",
        "PLATFORM_RATE_LIMIT_SIGNUP": "100000/minute",
        **more,
    }
    built.point_at(primary, standby)
    built.tell_redis()
    for role in ("api", "worker", "scheduler"):
        for number in range(COUNT):
            planned = _planned(built, role, number + 1, addresses[number])
            built.processes[planned.part.name] = planned
    return built


def _replace(file: Path, content: str) -> None:
    """Write a file as Secrets are mounted: whoever reads it finds the one or the other, never half of one."""
    fresh = file.with_name(f"{file.name}.fresh")
    fresh.write_text(content)
    fresh.replace(file)


def _planned(built: Site, role: str, number: int, address: str) -> Process:
    internal = free_port()
    arguments = ["serve", "--port", address.rpartition(":")[2]] if role == "api" else [role]
    part = Part(
        f"{role} {number}",
        [built.python, "-m", "platform_core", *arguments],
        functools.partial(_is_ready, internal),
        environment={**built.settings, "PLATFORM_INTERNAL_PORT": str(internal)},
        directory=built.home,
    )
    return Process(part.name, role, internal, part, address if role == "api" else "")


def _secrets() -> dict[str, str]:
    return {
        "PLATFORM_SECRET_KEY": secrets.token_urlsafe(48),
        "PLATFORM_USER_MANAGEMENT_PASSWORD_PEPPER": secrets.token_urlsafe(48),
        "PLATFORM_USER_MANAGEMENT_SIGNING_KEY": new_signing_key(),
        "PLATFORM_ADMIN_PASSWORD": secrets.token_urlsafe(18),
    }


def _is_ready(internal_port: int) -> bool:
    return _ready(internal_port).get("status") in ("ok", "degraded")


def _ready(internal_port: int) -> dict[str, object]:
    with contextlib.suppress(OSError, urllib.error.URLError):
        address = f"http://127.0.0.1:{internal_port}/health/ready"
        with urllib.request.urlopen(address, timeout=5) as answer:
            told: dict[str, object] = json.loads(answer.read())
            return told
    return {}
