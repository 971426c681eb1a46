"""
One owner at a time: a lock on the data directory, which every server inherits.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from platform_core.embedded.account import not_ours
from platform_core.embedded.order import EmbeddedServiceError, Order
from platform_core.embedded.owner import Owner

TIMEOUT_SECONDS: Final = 40
"""How long to wait for servers that are still on their way out."""


class Lock:
    """
    The lock file and what its holder wrote into it.

    Attributes:
        descriptor: handed down to every server, so that the lock is free when the last one is gone.
        is_held: whether it is ours by now.

    Raises:
        EmbeddedServiceError: the directory belongs to somebody else.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._data_dir = Path(order.data_dir)
        self.is_held = False
        path = self._data_dir / "embedded.lock"
        try:
            self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError as error:
            raise EmbeddedServiceError(not_ours(path if path.exists() else self._data_dir)) from error

    def take(self, owner: Owner) -> None:
        """
        Wait for servers on their way out; refuse when somebody uses the directory.

        Raises:
            EmbeddedServiceError: it is in use; the message says by whom.
            OwnerGone: while waiting.
        """
        started = time.monotonic()
        while not self._try():
            holder = self._holder()
            waited_seconds = time.monotonic() - started
            in_use = holder.get("state") == "running" and _is_alive(holder["owner_pid"])
            # An owner killed this instant looks alive until its own parent notices; its guardian is quicker.
            if (in_use and waited_seconds > 0.5) or waited_seconds > TIMEOUT_SECONDS:
                raise EmbeddedServiceError(_in_use(self._data_dir, holder))
            if holder and not in_use and not _is_alive(holder["guardian_pid"]):
                _stop_orphans(holder["server_pids"], self._data_dir)
            owner.wait(0.05)
        self.is_held = True
        self.tell("running")

    def tell(self, state: str, server_pids: Sequence[int] = ()) -> None:
        """Write down who holds the lock, for those who wait."""
        holder = {
            "state": state,
            "owner_pid": self._order.owner_pid,
            "owner_name": self._order.owner_name[:200],
            "guardian_pid": os.getpid(),
            "server_pids": list(server_pids),
        }
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, json.dumps(holder).encode(), 0)

    def _holder(self) -> dict[str, Any]:
        try:
            holder = json.loads(os.pread(self.descriptor, 4096, 0))
        except ValueError:  # being written
            return {}
        return holder if isinstance(holder, dict) else {}

    def _try(self) -> bool:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def works_in(pid: int, directory: Path) -> bool:
    """Tell whether a process has `directory`, or one below it, as its working directory."""
    if Path("/proc/self/cwd").exists():
        with suppress(OSError):
            return Path(os.readlink(f"/proc/{pid}/cwd")).is_relative_to(directory.resolve())
        return False
    # Where there is no /proc, its command line says as much: PostgreSQL is started with -D.
    command = ["/bin/ps", "-o", "command=", "-p", str(pid)]
    return str(directory) in subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - fixed


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
        if works_in(pid, data_dir):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGINT)
