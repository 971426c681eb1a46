"""What every measurement stands on: real servers, a migrated database with people in it, settings as in production."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import bcrypt
import jwt
import psycopg
from pydantic import SecretStr

from benchmarks.floor.queries import SCHEMA
from platform_core.embedded import embedded_services
from platform_core.testing import PluginSource, plugins_installed
from user_management.infrastructure.tokens import JwtTokens, KeySet
from user_management.settings import UserManagementSettings
from user_management.testing import new_signing_key

HANDOUT: Final = "BENCHMARK_HANDOUT"
PEOPLE_COUNT: Final = 10_000
TASKS_COUNT: Final = 10_000
PROJECT_ID: Final = UUID(int=1)
"""All who have a session are in it, and have all tasks between them; the n-th task's identifier is n."""

SESSIONS_COUNT: Final = 256
"""More than there are connections, so that no two requests under way change the same row."""

PASSWORD: Final = "correct horse battery staple"  # noqa: S105  # of accounts that live as long as a measurement
ECHO: Final = PluginSource(
    name="echo",
    directory=Path(__file__).parent / "echo",
    requires=["platform-core", "platform-plugin-user-management"],
)
"""A module that hears of renamed users and writes one row of effect, as the floor's worker does."""

_PLENTY: Final = "1000000000/minute"


@dataclass(frozen=True, kw_only=True)
class Handout:
    """What the floor and the peers are told, by a file that `BENCHMARK_HANDOUT` names."""

    database_url: str
    pool_size: int
    floor_secret: str
    pepper: str
    smtp_port: int
    files_directory: str

    @property
    def files(self) -> Path:
        """Where the floor keeps what was uploaded."""
        return Path(self.files_directory)

    @classmethod
    def read(cls) -> Handout:
        """Return what this process was told."""
        return cls(**json.loads(Path(os.environ[HANDOUT]).read_text(encoding="utf-8")))

    def write(self, path: Path) -> None:
        """Leave it for processes to come."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Person:
    """
    An account with a session.

    Attributes:
        token: of the platform; `floor_token` is the same claim for the floor and the peers.
    """

    id: UUID
    email: str
    token: str
    floor_token: str


@dataclass(frozen=True, kw_only=True)
class Ground:
    """
    Where measurements run.

    Attributes:
        environment: for processes of the platform.
        floor_environment: for the floor and the peers.
        people: administrators, each with a session of their own.
    """

    database_url: str
    redis_url: str
    home: Path
    environment: Mapping[str, str]
    floor_environment: Mapping[str, str]
    people: Sequence[Person]

    def sql(self, statement: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a statement as the databases' owner and return its rows."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(statement, params)
            return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def prepared(
    *, smtp_port: int, otlp_port: int, plugins: Sequence[PluginSource] = (ECHO,)
) -> Iterator[Ground]:
    """
    Start PostgreSQL and Redis as child processes, durable as in production; migrate, seed and fill.

    Args:
        smtp_port, otlp_port: where `sinks` listen.
        plugins: modules beside the shipped ones.
    """
    with tempfile.TemporaryDirectory(prefix="platform-benchmark-", ignore_cleanup_errors=True) as directory:
        home = Path(directory)
        home.chmod(0o755)
        with (
            embedded_services(home / "services") as services,
            plugins_installed(*plugins, into=home / "plugins") as paths,
        ):
            assert services.database_url is not None  # noqa: S101  # started by default
            assert services.redis_url is not None  # noqa: S101  # the same
            environment = _settings(home, services.database_url, services.redis_url, smtp_port, otlp_port)
            environment["PYTHONPATH"] = ":".join([*map(str, paths), str(Path(__file__).parents[1])])
            handout = Handout(
                database_url=services.database_url,
                pool_size=32,
                floor_secret=secrets.token_urlsafe(48),
                pepper=environment["PLATFORM_USER_MANAGEMENT_PASSWORD_PEPPER"],
                smtp_port=smtp_port,
                files_directory=str(home / "floor-files"),
            )
            handout.files.mkdir()
            handout.write(home / "handout.json")
            run_platform(environment, "db", "upgrade")
            run_platform(environment, "seed")
            yield Ground(
                database_url=services.database_url,
                redis_url=services.redis_url,
                home=home,
                environment=environment,
                floor_environment={
                    HANDOUT: str(home / "handout.json"),
                    "PYTHONPATH": str(Path(__file__).parents[1]),
                },
                people=_fill(services.database_url, environment, handout),
            )


def run_platform(environment: Mapping[str, str], *arguments: str) -> str:
    """Run one command of the platform to its end and return what it wrote."""
    command = [sys.executable, "-c", "from platform_core.cli import main; main()", *arguments]
    done = subprocess.run(  # noqa: S603  # our own program
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(
            f"platform {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return done.stdout


def _settings(
    home: Path, database_url: str, redis_url: str, smtp_port: int, otlp_port: int
) -> dict[str, str]:
    """Return production settings with everything switched on; only the limits' numbers are out of reach."""
    limits = ("ANONYMOUS", "USER", "SIGNUP", "LOGIN_FAILURES_IP", "LOGIN_FAILURES_ACCOUNT")
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "STORAGE_URL": f"file://{home / 'files'}",
        "SMTP_URL": f"smtp://127.0.0.1:{smtp_port}?starttls=never",
        "PLATFORM_ENV": "production",
        "PLATFORM_SECRET_KEY": secrets.token_urlsafe(48),
        "PLATFORM_PUBLIC_URL": "https://platform.test",
        "PLATFORM_ALLOWED_HOSTS": "127.0.0.1,platform.test",
        "PLATFORM_DATA_DIR": str(home / "data"),
        "PLATFORM_DATABASE_POOL_SIZE": "32",
        "PLATFORM_DATABASE_POOL_TIMEOUT_SECONDS": "10",
        "PLATFORM_USER_MANAGEMENT_PASSWORD_PEPPER": secrets.token_urlsafe(48),
        "PLATFORM_USER_MANAGEMENT_SIGNING_KEY": new_signing_key(),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{otlp_port}",
        **{f"PLATFORM_RATE_LIMIT_{name}": _PLENTY for name in limits},
    }


def _fill(database_url: str, environment: Mapping[str, str], handout: Handout) -> list[Person]:
    """Make accounts, and a session for some of them, as they would be after months of use."""
    keyed = base64.b64encode(hmac.digest(handout.pepper.encode(), PASSWORD.encode(), "sha256"))
    hashed = bcrypt.hashpw(keyed, bcrypt.gensalt(12)).decode()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        connection.execute(_USERS, {"count": PEOPLE_COUNT, "hash": hashed})
        connection.execute(_MEMBERSHIPS, {"admins": SESSIONS_COUNT})
        rows = connection.execute(_SESSIONS, {"count": SESSIONS_COUNT}).fetchall()
        connection.execute(_PROJECT, {"id": PROJECT_ID, "owner": rows[0][1]})
        connection.execute(_TASKS, {"id": PROJECT_ID, "count": TASKS_COUNT})
        connection.execute("VACUUM ANALYZE")
    return [_person(environment, handout, *row) for row in rows]


def _person(
    environment: Mapping[str, str], handout: Handout, session_id: UUID, user_id: UUID, email: str
) -> Person:
    settings = UserManagementSettings(
        password_pepper=SecretStr(environment["PLATFORM_USER_MANAGEMENT_PASSWORD_PEPPER"]),
        signing_key=SecretStr(environment["PLATFORM_USER_MANAGEMENT_SIGNING_KEY"]),
        issuer=environment["PLATFORM_PUBLIC_URL"],
        access_token_minutes=60,
    )
    now = datetime.now(UTC)
    tokens = JwtTokens(KeySet(settings), settings, None)  # type: ignore[arg-type]  # not asked for with an issuer
    claims = {"sub": str(user_id), "exp": int((now + timedelta(hours=1)).timestamp())}
    return Person(
        user_id,
        email,
        tokens.access(user_id=user_id, session_id=session_id, now=now),
        jwt.encode(claims, handout.floor_secret, algorithm="HS256"),
    )


_USERS: Final = """
INSERT INTO user_management.users (id, version, created_at, updated_at, email, username, full_name, password_hash,
  is_active, email_verified, locale, timezone)
SELECT platform.uuid7(), 1, now(), now(), format('person-%%s@example.com', n), format('person-%%s', n),
  format('Person %%s', n), %(hash)s, true, true, 'en', 'Europe/Berlin'
FROM generate_series(1, %(count)s) AS n
"""
_MEMBERSHIPS: Final = """
INSERT INTO user_management.user_roles (user_id, role_id)
SELECT u.id, r.id FROM user_management.users u JOIN user_management.roles r
  ON r.name = 'member' OR (r.name = 'admin' AND substring(u.username FROM 8)::int <= %(admins)s)
WHERE u.username LIKE 'person-%%' ON CONFLICT DO NOTHING
"""
_PROJECT: Final = """
WITH project AS (
  INSERT INTO project_management.projects (id, version, created_at, updated_at, owner_id, name, status)
  VALUES (%(id)s, 1, now(), now(), %(owner)s, 'Benchmark', 'active') RETURNING id
)
INSERT INTO project_management.project_members (project_id, user_id, role, joined_at)
SELECT project.id, s.user_id, CASE WHEN s.user_id = %(owner)s THEN 'owner' ELSE 'member' END, now()
FROM project, user_management.user_sessions s
"""
_TASKS: Final = """
WITH members AS (
  SELECT user_id, row_number() OVER (ORDER BY user_id) AS n, count(*) OVER () AS total
  FROM project_management.project_members WHERE project_id = %(id)s
)
INSERT INTO project_management.tasks (id, version, created_at, updated_at, project_id, title, description, status,
  priority, assignee_id, created_by)
SELECT lpad(to_hex(n.n), 32, '0')::uuid, 1, now(), now(), %(id)s, format('Task %%s', n.n), 'What has to be done.',
  'todo', 'medium', m.user_id, m.user_id
FROM generate_series(1, %(count)s::int) AS n(n) JOIN members m ON m.n = 1 + n.n %% m.total
"""
_SESSIONS: Final = """
WITH made AS (
  INSERT INTO user_management.user_sessions (id, user_id, created_at, last_seen_at, expires_at)
  SELECT platform.uuid7(), id, now(), now(), now() + interval '7 days' FROM user_management.users
  WHERE username LIKE 'person-%%' AND substring(username FROM 8)::int <= %(count)s RETURNING id, user_id
)
SELECT made.id, made.user_id, u.email FROM made JOIN user_management.users u ON u.id = made.user_id
"""
