"""nginx on the configuration that ships, with a certificate of its own."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from platform_core.embedded.tcp import free_port
from topology_rig.part import Part, listens

SHIPPED = Path(__file__).parents[3] / "deploy" / "nginx"
HOST = "localhost"

_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Front:
    """
    The reverse proxy.

    Args:
        home: gets a copy of `deploy/nginx`, of which only `site/` is changed, as a deployer would.
        backends: addresses of the API's processes.

    Attributes:
        part: to be killed.
        url: what clients call.
        certificates: what they trust.
    """

    def __init__(self, home: Path, backends: Sequence[str]) -> None:
        shutil.copytree(SHIPPED, home)
        home.chmod(0o755)
        self._home, self._site = home, home / "site"
        self.port, self.plain_port = free_port(), free_port()
        self.url, self.plain_url = f"https://{HOST}:{self.port}", f"http://{HOST}:{self.plain_port}"
        self._certify()
        listed = "".join(f"    server {address} max_fails=2 fail_timeout=2s;\n" for address in backends)
        temporary = "".join(f"{name}_temp_path temp/{name};\n" for name in _TEMPORARY)
        (home / "temp").mkdir()
        (self._site / "backends.conf").write_text(
            f"upstream platform {{\n    zone platform 64k;\n    least_conn;\n{listed}    keepalive 64;\n}}\n{temporary}"
        )
        (self._site / "http.conf").write_text(f"listen 127.0.0.1:{self.plain_port};\nserver_name {HOST};\n")
        (self._site / "https.conf").write_text(
            f"listen 127.0.0.1:{self.port} ssl http2;\nserver_name {HOST};\n"
            "ssl_certificate site/certificate.pem;\nssl_certificate_key site/key.pem;\n"
        )
        command = ["nginx", "-p", str(home), "-c", "nginx.conf", "-g", "daemon off;"]
        self.part = Part("nginx", command, listens(self.port))
        self.certificates = ssl.create_default_context(cafile=str(self._site / "certificate.pem"))

    @property
    def backends(self) -> str:
        """Return where it believes that the processes are."""
        return (self._site / "backends.conf").read_text(encoding="utf-8")

    def check(self) -> str:
        """Return what `nginx -t` says; nothing where it has nothing to say but that all is well."""
        command = ["nginx", "-t", "-q", "-p", str(self._home), "-c", "nginx.conf"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def out(self, address: str) -> str:
        """Take a process out of the rotation, wait until nothing that it was sent is under way; return what it says."""
        return self._turn("out", address)

    def back_in(self, address: str) -> None:
        self._turn("in", address)

    def requests(self) -> list[dict[str, Any]]:
        """Return the lines of its log."""
        lines = (self._home / "access.log").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def bytes_kept(self) -> int:
        """Return how much of bodies and answers lies in its temporary files, which have no name once they are open."""
        master = self.part.process.pid
        workers = Path(f"/proc/{master}/task/{master}/children").read_text(encoding="ascii").split()
        kept = 0
        for file in (file for worker in workers for file in Path(f"/proc/{worker}/fd").glob("*")):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                if str(file.readlink()).startswith(str(self._home / "temp")):
                    kept += file.stat().st_size
        return kept

    def _turn(self, way: str, address: str) -> str:
        done = subprocess.run(
            [str(SHIPPED / "backend.sh"), way, address],
            env={**os.environ, "HOME_OF_NGINX": str(self._home)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def _certify(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (self._site / "key.pem").write_bytes(private)
        (self._site / "certificate.pem").write_bytes(certificate.public_bytes(pem))
