"""The embedded servers: real processes, started, killed in every way and started again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from platform_core import embedded
from platform_core.embedded import EmbeddedServiceError, embedded_services
from platform_core.errors import PlatformError

pytestmark = pytest.mark.processes

# The directory travels in the environment, so that only the guardian and the servers carry it in their arguments.
OWNER = """
import json, os, sys, time
from dataclasses import asdict
from pathlib import Path
from platform_core.embedded import embedded_services

with embedded_services(Path(os.environ["DIRECTORY"]), durable=False) as services:
    if "fork" in sys.argv and os.fork() == 0:
        os.close(1)
        time.sleep(60)
        os._exit(0)
    print(json.dumps(asdict(services)), flush=True)
    time.sleep(60)
"""

Own = Callable[..., subprocess.Popen[str]]


def make_top() -> Path:
    """A directory that any account may pass through: pytest's own are closed to the servers' account."""
    top = Path(tempfile.mkdtemp(prefix="pc-", dir="/tmp"))
    top.chmod(0o755)
    return top


@pytest.fixture
def data_dir() -> Iterator[Path]:
    top = make_top()
    yield top / "data"
    assert is_empty(top)
    shutil.rmtree(top)


@pytest.fixture(scope="module")
def made_once() -> Iterator[Path]:
    top = make_top()
    with embedded_services(top / "data", durable=False):
        pass
    yield top / "data"
    shutil.rmtree(top)


@pytest.fixture
def shared_dir(made_once: Path) -> Iterator[Path]:
    """A directory whose first start is behind it, for tests that leave no data and do no damage."""
    yield made_once
    assert is_empty(made_once)


@pytest.fixture
def used_dir(made_once: Path, data_dir: Path) -> Path:
    """A directory of one's own whose first start is behind it."""
    subprocess.run(["cp", "-a", made_once, data_dir], check=True)
    return data_dir


@pytest.fixture
def own(data_dir: Path) -> Iterator[Own]:
    """Start another process that owns the servers of a directory, in a session of its own like a terminal's."""
    owners: list[subprocess.Popen[str]] = []

    def start(directory: Path, *flags: str) -> subprocess.Popen[str]:
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, *flags],
            env={**os.environ, "DIRECTORY": str(directory)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        owners.append(owner)
        return owner

    yield start
    for owner in owners:
        with suppress(ProcessLookupError):
            os.killpg(owner.pid, signal.SIGKILL)
        owner.wait()
        assert owner.stdout
        owner.stdout.close()


def services_of(owner: subprocess.Popen[str]) -> dict[str, str]:
    assert owner.stdout
    services: dict[str, str] = json.loads(owner.stdout.readline())
    return services


def processes_of(directory: Path) -> dict[int, str]:
    """Whoever names the directory in its arguments or works in it: guardian, servers, servers' own children."""
    rows = subprocess.run(["ps", "-axwwo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    everybody = {int(row.split()[0]): row for row in rows.splitlines()}
    found = {pid: row for pid, row in everybody.items() if str(directory) in row}
    for pid, row in everybody.items():
        with suppress(OSError):
            if os.readlink(f"/proc/{pid}/cwd").startswith(str(directory)):
                found[pid] = row
    return found


def is_empty(directory: Path, within_seconds: float = 8) -> bool:
    deadline = time.monotonic() + within_seconds
    while processes_of(directory):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def pid_of(directory: Path, what: str) -> int:
    return next(pid for pid, row in processes_of(directory).items() if what in row)


@contextmanager
def later(after_seconds: float, pid: int, number: signal.Signals) -> Iterator[None]:
    timer = threading.Timer(after_seconds, os.kill, (pid, number))
    timer.start()
    yield
    timer.join()


def kill_all(directory: Path) -> None:
    """Everything at once, the guardian first: a machine that loses power, as far as a process can play it."""
    for pid, _ in sorted(processes_of(directory).items(), key=lambda item: "embedded" not in item[1]):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def note(services: dict[str, str] | embedded.EmbeddedServices) -> None:
    """Leave something in both."""
    urls = services if isinstance(services, dict) else vars(services)
    with psycopg.connect(urls["database_url"]) as connection:
        connection.execute("CREATE TABLE note AS SELECT 'kept' AS text")
    with redis.Redis.from_url(urls["redis_url"]) as client:
        client.set("note", "kept")


def noted(services: embedded.EmbeddedServices) -> tuple[object, object]:
    assert services.database_url
    assert services.redis_url
    with psycopg.connect(services.database_url) as connection:
        row = connection.execute("SELECT text FROM note").fetchone()
    with redis.Redis.from_url(services.redis_url) as client:
        return (row[0] if row else None), client.get("note")


def test_first_start_gives_a_database_and_redis_that_work_without_any_port(data_dir: Path) -> None:
    with embedded_services(data_dir) as services:
        assert services.database_url == f"postgresql://platform@/platform?host={data_dir}/run"
        assert services.redis_url == f"unix://{data_dir}/run/redis.sock"
        with psycopg.connect(services.database_url, autocommit=True) as connection:
            connection.execute("CREATE ROLE reader")
            connection.execute("CREATE DATABASE worker_1 TEMPLATE template0")
            shown = ("listen_addresses", "fsync", "max_connections", "server_encoding")
            rows = [connection.execute(f"SHOW {name}").fetchone() for name in shown]
            assert rows == [("",), ("on",), ("400",), ("UTF8",)]
            assert connection.execute("SELECT lower('ÄÖ'), 'Z' < 'a'").fetchone() == ("äö", True)
        with redis.Redis.from_url(services.redis_url) as client:
            assert client.ping()
            assert client.config_get("port") == {"port": "0"}
        assert (data_dir / "run").stat().st_mode & 0o077 == 0
    assert is_empty(data_dir, within_seconds=0)


def test_data_survive_a_restart(used_dir: Path) -> None:
    with embedded_services(used_dir) as services:
        note(services)
    with embedded_services(used_dir) as services:
        assert noted(services) == ("kept", b"kept")


def test_only_the_wanted_server_is_started(shared_dir: Path) -> None:
    with embedded_services(shared_dir, database=False) as services:
        assert services.database_url is None
        assert services.redis_url
        assert len(processes_of(shared_dir)) == 2
    with embedded_services(shared_dir, redis=False) as services:
        assert services.redis_url is None
    with embedded_services(shared_dir, database=False, redis=False) as services:
        assert services == embedded.EmbeddedServices(None, None)
        assert not processes_of(shared_dir)


def test_it_may_start_in_a_thread_that_ends(shared_dir: Path) -> None:
    block = embedded_services(shared_dir, database=False)
    started: list[embedded.EmbeddedServices] = []
    thread = threading.Thread(target=lambda: started.append(block.__enter__()))
    thread.start()
    thread.join()
    time.sleep(0.1)
    assert started[0].redis_url
    with redis.Redis.from_url(started[0].redis_url) as client:
        assert client.ping()
    block.__exit__(None, None, None)


def test_an_exception_in_the_block_stops_everything(shared_dir: Path) -> None:
    with pytest.raises(ZeroDivisionError), embedded_services(shared_dir):
        _ = 1 / 0
    assert is_empty(shared_dir, within_seconds=0)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_owner_leaves_no_process_and_loses_nothing(
    used_dir: Path, own: Own, how: signal.Signals
) -> None:
    owner = own(used_dir)
    note(services_of(owner))
    assert len(processes_of(used_dir)) > 3
    os.killpg(owner.pid, how)  # the group, as Ctrl-C in a terminal does
    assert is_empty(used_dir)
    with embedded_services(used_dir) as services:
        assert noted(services) == ("kept", b"kept")


def test_owner_killed_in_the_middle_of_the_first_start_leaves_no_process(data_dir: Path, own: Own) -> None:
    owner = own(data_dir)
    while not any(data_dir.glob("postgres*/base")) and owner.poll() is None:
        time.sleep(0.01)
    owner.kill()
    assert is_empty(data_dir)
    assert not (data_dir / "postgres").exists()
    with embedded_services(data_dir, durable=False) as services:
        note(services)


def test_a_forked_child_does_not_keep_the_servers_of_its_dead_parent(shared_dir: Path, own: Own) -> None:
    owner = own(shared_dir, "fork")
    services_of(owner)
    owner.kill()
    assert is_empty(shared_dir)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel tells no child of its parent's end")
def test_killed_guardian_takes_the_servers_along(used_dir: Path, own: Own) -> None:
    owner = own(used_dir)
    note(services_of(owner))
    slow = pid_of(used_dir, "/postgres -D")
    os.kill(slow, signal.SIGSTOP)
    os.kill(pid_of(used_dir, "embedded"), signal.SIGKILL)
    owner.kill()
    with later(0.5, slow, signal.SIGCONT), embedded_services(used_dir) as services:
        assert noted(services) == ("kept", b"kept")  # the start waited: the lock is the servers' too


def test_second_start_on_the_same_directory_is_refused_and_names_the_first(
    shared_dir: Path, own: Own
) -> None:
    owner = own(shared_dir)
    services = services_of(owner)
    for _ in range(2):  # being refused leaves no trace
        refused = pytest.raises(EmbeddedServiceError, match=rf"process {owner.pid} .*--data-dir")
        asked_at = time.monotonic()
        with refused as caught, embedded_services(shared_dir):
            pass
        assert time.monotonic() - asked_at < 10
        assert isinstance(caught.value, PlatformError)
    with psycopg.connect(services["database_url"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_start_waits_for_servers_that_are_still_stopping(used_dir: Path, own: Own) -> None:
    owner = own(used_dir)
    note(services_of(owner))
    slow = pid_of(used_dir, "embedded")
    os.kill(slow, signal.SIGSTOP)
    owner.kill()  # not waited for: to a quick look it is still alive, and its guardian says nothing yet
    with later(0.3, slow, signal.SIGCONT), embedded_services(used_dir) as services:
        assert noted(services) == ("kept", b"kept")


def test_everything_killed_at_once_recovers_though_others_have_the_process_ids_now(
    used_dir: Path, own: Own
) -> None:
    note(services_of(own(used_dir)))
    time.sleep(1.1)  # Redis writes every second
    kill_all(used_dir)
    assert is_empty(used_dir)
    pid_file = used_dir / "postgres" / "postmaster.pid"
    socket_lock = used_dir / "run" / ".s.PGSQL.5432.lock"
    assert pid_file.exists()
    account = {"user": pid_file.stat().st_uid} if os.geteuid() == 0 else {}
    with subprocess.Popen(["sleep", "60"], cwd="/", **account) as stranger:  # type: ignore[call-overload]
        for path in (pid_file, socket_lock):
            _, *rest = path.read_text().split("\n")
            path.write_text("\n".join([str(stranger.pid), *rest]))
        with embedded_services(used_dir) as services:
            assert noted(services) == ("kept", b"kept")
        stranger.kill()


def test_tcp_is_on_loopback_and_asks_for_a_password(shared_dir: Path) -> None:
    with embedded_services(shared_dir, tcp=True) as services:
        assert services.database_url
        assert services.redis_url
        with psycopg.connect(services.database_url) as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)
        with redis.Redis.from_url(services.redis_url) as client:
            assert client.ping()
        address = urlsplit(services.redis_url)
        no_retry = Retry(NoBackoff(), 0)
        stranger = redis.Redis(port=address.port or 0, retry=no_retry)
        with stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        wrong = services.database_url.replace(urlsplit(services.database_url).password or "", "wrong")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(wrong)
        arguments = "".join(processes_of(shared_dir).values())
        assert (address.password or "?") not in arguments


def test_a_path_too_long_for_a_socket_still_works(data_dir: Path) -> None:
    deep = data_dir / ("x" * 60) / ("y" * 60)
    with embedded_services(deep, database=False) as services:
        assert services.redis_url
        sockets = Path(urlsplit(services.redis_url).path).parent
        assert sockets.stat().st_mode & 0o077 == 0
        with redis.Redis.from_url(services.redis_url) as client:
            assert client.ping()
    assert not sockets.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the servers to another account")
def test_root_keeps_the_data_elsewhere_when_the_account_cannot_reach_the_directory(data_dir: Path) -> None:
    data_dir.parent.chmod(0o700)
    with embedded_services(data_dir, database=False) as services:
        shelter = (data_dir / "embedded").resolve()
        assert services.redis_url == f"unix://{shelter}/run/redis.sock"
    with embedded_services(data_dir, database=False) as services:
        assert services.redis_url == f"unix://{shelter}/run/redis.sock"
    shutil.rmtree(shelter)


def test_without_any_program_the_error_says_what_to_install_or_set(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded.programs, "package_dir", lambda package: None)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(EmbeddedServiceError, match=r"platform-core\[embedded\].*DATABASE_URL"):
        embedded_services(data_dir, redis=False).__enter__()
    with pytest.raises(EmbeddedServiceError, match=r"platform-core\[embedded\].*REDIS_URL"):
        embedded_services(data_dir, database=False).__enter__()
    assert not data_dir.exists()


def test_a_server_that_does_not_start_is_reported_with_the_end_of_its_log(used_dir: Path) -> None:
    with (used_dir / "postgres" / "postgresql.conf").open("a") as config:
        config.write("no_such_setting = on\n")
    reported = pytest.raises(EmbeddedServiceError, match=r"(?s)PostgreSQL did not start.*no_such_setting")
    with reported, embedded_services(used_dir):
        pass
    assert is_empty(used_dir, within_seconds=0)


def test_a_directory_of_another_version_is_refused_in_words(used_dir: Path) -> None:
    (used_dir / "postgres" / "PG_VERSION").write_text("9\n")
    refused = pytest.raises(EmbeddedServiceError, match="was made by PostgreSQL 9, and this machine offers")
    with refused, embedded_services(used_dir, redis=False):
        pass
