"""
Redis, by Valkey or by a redis-server: a file of appended commands, a socket.
"""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from platform_core.embedded.directory import Directory
from platform_core.embedded.processes import Processes
from platform_core.embedded.tcp import free_port


def start_redis(
    processes: Processes, directory: Directory, program: Path, password: str | None, *, durable: bool
) -> Callable[[], str]:
    """
    Start the server.

    Args:
        password: None where no port is to be open.
        durable: False leaves it to the machine when to write to the disk.

    Returns: a function that waits until it answers and returns the URL.
    """
    program = directory.reachable(program.parent) / program.name
    path = directory.sockets / "redis.sock"
    port = free_port() if password else 0
    settings = {
        "dir": str(directory.own(directory.home / "redis")),
        "bind": "127.0.0.1",
        "port": str(port),
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "daemonize": "no",
        "save": "",
        "appendonly": "yes",
        "appendfsync": "everysec" if durable else "no",
        "requirepass": password or "",
    }
    # By standard input: arguments, and so the password, could be read in the list of processes.
    config = "".join(f"{key} {json.dumps(value, ensure_ascii=False)}\n" for key, value in settings.items())
    server = processes.serve("Redis", [str(program), "-"], signal.SIGTERM, config=config)

    def wait() -> str:
        processes.wait_until(lambda: _answers(path, password), server)
        return f"redis://:{password}@127.0.0.1:{port}/0" if password else f"unix://{quote(str(path))}"

    return wait


def _answers(path: Path, password: str | None) -> bool:
    with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
        client.settimeout(1)
        client.connect(str(path))
        client.sendall((f"AUTH {password}\r\n" if password else "").encode() + b"PING\r\n")
        return b"+PONG" in client.recv(200)  # "-LOADING" while it reads its data
    return False
