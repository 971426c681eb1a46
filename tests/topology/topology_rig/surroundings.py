"""What the platform stands on beside PostgreSQL: Redis 7, S3, clamd, a mail server, a payment gateway, a collector."""

from __future__ import annotations

import contextlib
import json
import mailbox
import secrets
import shutil
import sys
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from typing import Any

import redis
import s3fs
from botocore.exceptions import BotoCoreError
from seaweed import seaweed

from platform_core.embedded.tcp import free_port
from topology_rig.part import Part, listens

BUCKET = "platform"
SIGNATURE = b"a-marker-that-only-these-tests-call-a-virus"

_COLLECTOR = Path(__file__).with_name("collector.py")


class Redis(Part):
    """Redis 7 with a password; what it had written to its log of appends outlives a kill."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self.port, self._password = free_port(), secrets.token_urlsafe(18)
        self._users = home / "users.acl"
        self._users.write_text(f"user default on >{self._password} ~* &* +@all\n")
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "aclfile": str(self._users),
            "dir": str(home),
            "appendonly": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        flags = [word for key, value in options.items() for word in (f"--{key}", value)]
        super().__init__("redis", ["redis-server", *flags], "Ready to accept connections")

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def add_password(self) -> str:
        """Believe a second one as well, which `url` has from now on; returns the one before."""
        before, after = self._password, secrets.token_urlsafe(18)
        with redis.Redis.from_url(self.url) as client:
            client.execute_command("ACL", "SETUSER", "default", f">{after}")  # type: ignore[no-untyped-call]
        self._password = after
        return before

    def take_away(self, password: str) -> None:
        """Believe a password no more, nor anybody who came with it."""
        with redis.Redis.from_url(self.url) as client:
            client.execute_command("ACL", "SETUSER", "default", f"<{password}")  # type: ignore[no-untyped-call]
            client.execute_command("ACL", "SAVE")  # type: ignore[no-untyped-call]
            client.client_kill_filter(_type="normal", skipme=True)
            client.client_kill_filter(_type="pubsub")


class ObjectStore(Part):
    """SeaweedFS, which checks signatures as S3 does."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self.credentials, self._server = home / "aws-credentials", seaweed(home, {})
        self.port, self.endpoint = self._server.port, self._server.endpoint
        self.make_keys()
        super().__init__("s3", self._server.command, self._takes_objects)
        self.url = f"s3://{BUCKET}/files?endpoint_url={self.endpoint}"

    @property
    def environment_of_clients(self) -> dict[str, str]:
        return {"AWS_SHARED_CREDENTIALS_FILE": str(self.credentials), "AWS_DEFAULT_REGION": "us-east-1"}

    def make_keys(self) -> None:
        """Make other keys, the only ones that the server knows after its next start, and tell clients of them."""
        self.key, self.secret = f"platform-{secrets.token_hex(3)}", secrets.token_urlsafe(24)
        self._server.obey({self.key: self.secret})
        fresh = self.credentials.with_name("fresh")
        fresh.write_text(f"[default]\naws_access_key_id={self.key}\naws_secret_access_key={self.secret}\n")
        fresh.replace(self.credentials)

    def objects(self) -> list[str]:
        """Return every key in the bucket, as somebody sees it who looks past the platform."""
        found: list[str] = self._client().find(BUCKET)
        return found

    def half_uploads(self) -> list[Any]:
        """Return the multipart uploads that nobody finished."""
        found: list[Any] = self._client().call_s3("list_multipart_uploads", Bucket=BUCKET).get("Uploads", [])
        return found

    def _client(self) -> s3fs.S3FileSystem:
        return s3fs.S3FileSystem(
            key=self.key,
            secret=self.secret,
            endpoint_url=self.endpoint,
            skip_instance_cache=True,
            use_listings_cache=False,
        )

    def _takes_objects(self) -> bool:
        """It says that it is there before it takes orders, and the first object of a volume takes its time."""
        if not listens(self.port)():
            return False
        with contextlib.suppress(OSError, BotoCoreError):
            client = self._client()
            if not client.exists(BUCKET):
                client.mkdir(BUCKET)
            client.pipe_file(f"{BUCKET}/warm", b"up")
            client.rm_file(f"{BUCKET}/warm")
            return True
        return False


class Scanner(Part):
    """clamd with one signature of its own."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        (home / "signatures").mkdir()
        (home / "signatures" / "own.ndb").write_text(f"Own.Marker:0:*:{SIGNATURE.hex()}\n")
        self.port = free_port()
        (home / "clamd.conf").write_text(
            f"TCPSocket {self.port}\nTCPAddr 127.0.0.1\nDatabaseDirectory {home}/signatures\nForeground yes\n"
            "StreamMaxLength 64M\nLogVerbose yes\nUser root\n"
        )
        program = shutil.which("clamd") or "/usr/sbin/clamd"
        super().__init__("clamd", [program, f"--config-file={home}/clamd.conf"], listens(self.port))
        self.url = f"tcp://127.0.0.1:{self.port}"


class MailServer(Part):
    """aiosmtpd, which keeps what it gets in a Maildir."""

    def __init__(self, home: Path) -> None:
        self._folder, self.port = home, free_port()
        command = [sys.executable, "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{self.port}"]
        super().__init__("mail", [*command, "-c", "aiosmtpd.handlers.Mailbox", str(home)], listens(self.port))
        self.url = f"smtp://127.0.0.1:{self.port}"

    def mails(self) -> list[Message]:
        """Return every mail that ever came."""
        return list(mailbox.Maildir(self._folder))

    def to(self, recipient: str) -> list[str]:
        """Return the subjects of the mails to somebody."""
        return [str(mail["Subject"]) for mail in self.mails() if recipient in str(mail["To"])]


class Gateway(Part):
    """The payment gateway that the module `orders` brings for development: a third party, and none of our parts."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "uvicorn", "orders.testing.gateway:app", "--port", str(self.port)]
        super().__init__("gateway", command, listens(self.port))


class Collector(Part):
    """Takes traces over OTLP; see `collector.py`."""

    def __init__(self, file: Path) -> None:
        self._file, self.port = file, free_port()
        super().__init__(
            "collector", [sys.executable, str(_COLLECTOR), str(self.port), str(file)], "collecting"
        )
        self.url = f"http://127.0.0.1:{self.port}"

    def spans(self, trace: str) -> list[dict[str, Any]]:
        """Return what came of one trace so far."""
        if not self._file.exists():
            return []
        lines = self._file.read_text(encoding="utf-8").splitlines()
        return [span for span in map(json.loads, lines) if span["trace"] == trace]


def metrics(port: int) -> str:
    """Return what a process of the platform tells Prometheus; nothing where it is away."""
    with (
        contextlib.suppress(OSError, urllib.error.URLError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer,
    ):
        told: str = answer.read().decode()
        return told
    return ""
