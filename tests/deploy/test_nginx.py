"""The reverse proxy's configuration as it ships: nginx accepts it, and takes processes out and in while it runs."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPResponse, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest

sys.path.append(str(Path(__file__).parents[1] / "topology"))

if TYPE_CHECKING:
    from topology_rig.front import Front

pytestmark = pytest.mark.skipif(
    shutil.which("nginx") is None, reason="nginx is not here: apt-get install nginx-light"
)

ONE, OTHER = "127.0.0.1:8001", "127.0.0.1:8002"


class Api(ThreadingHTTPServer):
    """Stands where a process of the API would; its stream has a line whenever a test gives it one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.address = f"127.0.0.1:{self.server_port}"
        self.lines: SimpleQueue[str] = SimpleQueue()


class Answers(BaseHTTPRequestHandler):
    """One request to it."""

    server: Api

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("X-Request-ID", "of-the-api")
        self.send_header("X-Accel-Buffering", "no")
        self.end_headers()
        self.wfile.write(f"{self.server.address}\n".encode())
        while self.path == "/stream" and (line := self.server.lines.get()):
            self.wfile.write(f"{line}\n".encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(api: Api) -> Iterator[Api]:
    thread = threading.Thread(target=api.serve_forever)
    thread.start()
    try:
        yield api
    finally:
        api.lines.put("")
        api.shutdown()
        api.server_close()
        thread.join()


@pytest.fixture
def apis() -> Iterator[dict[str, Api]]:
    """Two processes, by address."""
    with ExitStack() as stack:
        yield {api.address: api for api in (stack.enter_context(serving(Api())) for _ in range(2))}


@contextmanager
def front_of(home: Path, *backends: str) -> Iterator[Front]:
    from topology_rig.front import Front

    made = Front(home, backends)
    try:
        yield made
    finally:
        made.part.close()


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    with front_of(tmp_path / "nginx", ONE, OTHER) as made:
        yield made


def get(front: Front, path: str) -> HTTPResponse:
    connection = HTTPSConnection("localhost", front.port, context=front.certificates)
    connection.request("GET", path, headers={"Connection": "close"})
    return connection.getresponse()


def test_nginx_accepts_what_ships(front: Front) -> None:
    assert front.check() == ""


def test_a_process_is_taken_out_and_put_back_while_nginx_runs_but_never_the_last_one(front: Front) -> None:
    front.part.start()
    before = front.backends
    front.out(ONE)
    assert front.backends == before.replace(
        f"{ONE} max_fails=2 fail_timeout=2s", f"{ONE} max_fails=2 fail_timeout=2s down"
    )
    with pytest.raises(AssertionError, match="the last one"):
        front.out(OTHER)
    with pytest.raises(AssertionError, match="has no server"):
        front.out("127.0.0.1:9")
    front.back_in(ONE)
    assert front.backends == before


def test_streams_of_other_processes_go_on_and_those_of_its_own_are_waited_for_and_told(
    tmp_path: Path, apis: dict[str, Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    with front_of(tmp_path / "nginx", *apis) as front, ThreadPoolExecutor(1) as elsewhere:
        front.part.start()
        stream = get(front, "/stream")
        its = stream.readline().decode().strip()
        other = next(address for address in apis if address != its)

        def goes_on(line: str) -> None:
            apis[its].lines.put(line)
            assert stream.readline().decode() == f"{line}\n"

        assert "still under way" not in front.out(other)
        goes_on("the other one is out")
        front.back_in(other)
        goes_on("and back in")
        monkeypatch.setenv("DRAIN_SECONDS", "1")
        assert "still under way there: 1\n" in front.out(its)
        goes_on("its own is out")
        assert get(front, "/").read().decode().strip() == other
        front.back_in(its)
        monkeypatch.delenv("DRAIN_SECONDS")
        waits = elsewhere.submit(front.out, its)
        while f"{its} max_fails=2 fail_timeout=2s down" not in front.backends:
            time.sleep(0.01)
        time.sleep(1)
        assert not waits.done()
        apis[its].lines.put("")
        assert "still under way" not in waits.result()
        assert stream.read() == b""


def test_a_reload_that_fails_is_told_and_not_waited_for_for_ever(
    front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    front.part.start()
    monkeypatch.setenv("RELOAD_SECONDS", "2")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        site = tmp_path / "nginx" / "site" / "http.conf"
        # `nginx -t` has nothing against a port that is taken
        site.write_text(f"listen 127.0.0.1:{taken.getsockname()[1]};\nserver_name localhost;\n")
        with pytest.raises(AssertionError, match=r"error\.log says why"):
            front.out(ONE)


def test_each_answer_has_the_id_that_is_in_the_log(tmp_path: Path) -> None:
    with front_of(tmp_path / "nginx", (api := Api()).address) as front:
        front.part.start()
        with serving(api):
            assert get(front, "/").getheader("X-Request-ID") == "of-the-api"
        away = get(front, "/")
        assert away.status == 503
        told = json.loads(away.read())["request_id"]
        assert away.headers.get_all("X-Request-ID") == [told]
        front.part.end()
        assert [line["request_id"] for line in front.requests()] == ["of-the-api", told]
