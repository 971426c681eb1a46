"""`platform serve`, `worker` and `scheduler`: how they begin and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from platform_core._pools import libpq_url
from platform_core._watchdog import EXIT_STUCK
from platform_core.testing import PlatformFactory, PluginSource, RunningPlatform, RunPlatform, run_process

pytestmark = pytest.mark.processes

SLEEPER = """
import asyncio, time
from dataclasses import dataclass
from typing import ClassVar

from platform_core import hookimpl
from platform_core.declarations import Services, Task
from platform_core.domain import Command
from platform_core.http import Router


@dataclass(frozen=True, kw_only=True)
class Hang(Command[None]):
    wire_name: ClassVar[str] = "sleeper.hang"


async def hang(command: Hang) -> None:
    print("the handler hangs", flush=True)
    time.sleep(3600)


router = Router()


@router.get("/sleeper/{seconds}", public=True, summary="Answer late")
async def late(seconds: float) -> dict[str, str]:
    await asyncio.sleep(seconds)
    return {"said": "at last"}


@hookimpl
def register_services():
    return Services(commands={Hang: hang})


@hookimpl
def register_tasks():
    return [Task(command=Hang)]


@hookimpl
def register_routes():
    return [router]
"""
MANIFEST = 'title = "Sleeper"\npaths = ["/sleeper"]\n'


@pytest.fixture
async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    plugin = PluginSource(name="sleeper", files={"plugin.py": SLEEPER}, manifest=MANIFEST)
    async with platform(extra=[plugin]) as running:
        yield running


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def answer(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310  # an address of the test's own
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class Later(threading.Thread):
    """A request that is under way while the test goes on."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.answer: tuple[int, bytes] | None = None

    def run(self) -> None:
        self.answer = answer(self._url)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_serve_finishes_what_is_in_flight_and_refuses_the_rest(p: RunningPlatform) -> None:
    port = free_port()
    with run_process(["platform", "serve", "--port", str(port)], env=p.environment, ready="serving") as serve:
        await asyncio.to_thread(serve.wait_for_url, f"http://127.0.0.1:{port}/health/ready")
        under_way = Later(f"http://127.0.0.1:{port}/api/v1/sleeper/3")
        under_way.start()
        await asyncio.sleep(0.5)
        serve.signal(signal.SIGTERM)
        await asyncio.sleep(0.5)
        status, body = await asyncio.to_thread(answer, f"http://127.0.0.1:{port}/api/v1/sleeper/0")
        assert status == 503
        assert json.loads(body)["status"] == 503
        assert (await asyncio.to_thread(answer, f"http://127.0.0.1:{port}/health/ready"))[0] == 503
        assert await asyncio.to_thread(serve.wait) == 0
        under_way.join()
        assert under_way.answer == (200, b'{"said":"at last"}')


async def test_second_signal_ends_serve_without_waiting(
    p: RunningPlatform, run_platform: RunPlatform
) -> None:
    port = free_port()
    with run_platform("serve", "--port", str(port), env=p.environment, ready="serving") as serve:
        await asyncio.to_thread(serve.wait_for_url, f"http://127.0.0.1:{port}/health/live")
        under_way = Later(f"http://127.0.0.1:{port}/api/v1/sleeper/20")
        with contextlib.suppress(Exception):
            under_way.start()
        await asyncio.sleep(0.5)
        serve.signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        began = time.monotonic()
        serve.signal(signal.SIGTERM)
        assert await asyncio.to_thread(serve.wait) == 0
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("workers", [1, 2])
async def test_b45_signal_under_load_loses_nothing_that_was_begun(
    p: RunningPlatform, run_platform: RunPlatform, workers: int
) -> None:
    port = free_port()
    environment = {**p.environment, "PLATFORM_RATE_LIMIT_ANONYMOUS": "1000000/minute"}
    command = ["serve", "--port", str(port), "--workers", str(workers)]
    with run_platform(*command, env=environment) as serve:
        await asyncio.to_thread(serve.wait_for_url, f"http://127.0.0.1:{port}/health/ready")
        under_way = [Later(f"http://127.0.0.1:{port}/api/v1/sleeper/3") for _ in range(20)]
        for request in under_way:
            request.start()
        said: Counter[str] = Counter()
        load = [asyncio.create_task(keep_asking(port, said)) for _ in range(8)]
        await asyncio.sleep(1)
        serve.signal(signal.SIGTERM)
        assert await asyncio.to_thread(serve.wait) == 0
        await asyncio.gather(*load)
        for request in under_way:
            request.join()
        assert {request.answer for request in under_way} == {(200, b'{"said":"at last"}')}
        # each of the others is answered wholly, refused in so many words, or finds nobody there
        assert said["200"] > 20
        assert said["503"] > 20
        assert set(said) <= {"200", "503", "nobody"}
        assert "cut off" not in serve.output
        assert "Traceback" not in serve.output


async def keep_asking(port: int, said: Counter[str]) -> None:
    """Ask over kept connections until nobody listens any more, or ceases to while this one stands in the queue."""
    with contextlib.suppress(ConnectionRefusedError, ConnectionResetError):
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                while await asked(reader, writer, said):
                    pass
            finally:
                writer.close()


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: Counter[str]) -> bool:
    """Ask once; tells whether the connection can be used again."""
    try:
        writer.write(b"GET /api/v1/sleeper/0.01 HTTP/1.1\r\nhost: a\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        said["half" if getattr(error, "partial", b"") else "nobody"] += 1
        return False
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    await reader.readexactly(int(length.split(b":")[1]))
    said[head[9:12].decode()] += 1
    return b"connection: close" not in head


async def test_second_signal_ends_several_processes_without_waiting_too(
    p: RunningPlatform, run_platform: RunPlatform
) -> None:
    port = free_port()
    command = ["serve", "--port", str(port), "--workers", "2"]
    with run_platform(*command, env=p.environment) as serve:
        await asyncio.to_thread(serve.wait_for_url, f"http://127.0.0.1:{port}/health/ready")
        members = await asyncio.to_thread(
            _until, lambda: len(children(serve.pid)) == 2 and children(serve.pid)
        )
        with socket.create_connection(("127.0.0.1", port)) as waiting:
            waiting.sendall(b"GET /api/v1/sleeper/20 HTTP/1.1\r\nhost: a\r\n\r\n")
            await asyncio.sleep(0.5)
            serve.signal(signal.SIGTERM)
            await asyncio.sleep(0.5)
            assert any(map(is_alive, members))
            began = time.monotonic()
            serve.signal(signal.SIGTERM)
            assert await asyncio.to_thread(serve.wait) == 0
            assert time.monotonic() - began < 10
        assert not any(map(is_alive, members))
        assert "is killed" not in serve.output


async def test_several_processes_share_a_port_and_a_dead_one_is_replaced(
    p: RunningPlatform, run_platform: RunPlatform
) -> None:
    port = free_port()
    command = ["serve", "--port", str(port), "--workers", "2"]
    with run_platform(*command, env=p.environment, timeout_seconds=60) as serve:
        await asyncio.to_thread(
            serve.wait_for_url, f"http://127.0.0.1:{port}/health/ready", timeout_seconds=60
        )
        members = await asyncio.to_thread(
            _until, lambda: len(children(serve.pid)) == 2 and children(serve.pid)
        )
        os.kill(members[0], signal.SIGKILL)
        serve.wait_for_line("a process died and is replaced")
        await asyncio.to_thread(
            _until, lambda: len(children(serve.pid)) == 2 and members[0] not in children(serve.pid)
        )
        assert (await asyncio.to_thread(answer, f"http://127.0.0.1:{port}/health/live"))[0] == 200
        members = children(serve.pid)
        assert await asyncio.to_thread(serve.terminate) == 0
        assert not any(map(is_alive, members))


async def test_members_end_when_their_parent_is_killed(p: RunningPlatform, run_platform: RunPlatform) -> None:
    port = free_port()
    command = ["serve", "--port", str(port), "--workers", "2"]
    with run_platform(*command, env=p.environment) as serve:
        await asyncio.to_thread(
            serve.wait_for_url, f"http://127.0.0.1:{port}/health/live", timeout_seconds=60
        )
        members = await asyncio.to_thread(
            _until, lambda: len(children(serve.pid)) == 2 and children(serve.pid)
        )
        serve.kill()
        await asyncio.to_thread(_until, lambda: not any(map(is_alive, members)))


@pytest.mark.parametrize("host", [None, "127.0.0.1"])
async def test_metrics_and_details_are_on_the_internal_port(
    p: RunningPlatform, run_platform: RunPlatform, host: str | None
) -> None:
    port, internal = free_port(), free_port()
    command = ["serve", "--port", str(port), "--internal-port", str(internal)]
    chosen = {} if host is None else {"PLATFORM_INTERNAL_HOST": host}
    with run_platform(*command, env={**p.environment, **chosen}, ready="serving") as serve:
        body = await asyncio.to_thread(serve.wait_for_url, f"http://127.0.0.1:{internal}/health/ready")
        # a probe reaches the process by another address of the machine, unless the deployer wants it nearer
        with contextlib.ExitStack() as stack:
            if host is not None:
                stack.enter_context(pytest.raises(ConnectionRefusedError))
            socket.create_connection(("127.0.0.2", internal), timeout=5).close()
        assert json.loads(body)["checks"]["database"] == "ok"
        assert (
            b"platform_http_requests_total"
            in (await asyncio.to_thread(answer, f"http://127.0.0.1:{internal}/metrics"))[1]
        )
        assert await asyncio.to_thread(serve.terminate) == 0


async def test_traces_go_where_the_standard_variables_say(
    p: RunningPlatform, run_platform: RunPlatform
) -> None:
    port, sent = free_port(), []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            sent.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        environment = {
            **p.environment,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
            "OTEL_TRACES_SAMPLER": "always_on",
        }
        with run_platform("serve", "--port", str(port), env=environment) as serve:
            await asyncio.to_thread(serve.wait_for_url, f"http://127.0.0.1:{port}/health/live")
            await asyncio.to_thread(answer, f"http://127.0.0.1:{port}/api/v1/sleeper/0")
            assert await asyncio.to_thread(serve.terminate) == 0
        collector.shutdown()
    resources = [resource for request in sent for resource in request.resource_spans]
    names = {a.key: a.value.string_value for resource in resources for a in resource.resource.attributes}
    assert names["service.name"] == "platform-api"
    (span,) = [s for resource in resources for scope in resource.scope_spans for s in scope.spans]
    assert (span.name, span.kind) == ("GET /api/v1/sleeper/{seconds}", span.SPAN_KIND_SERVER)


@pytest.mark.parametrize("name", ["worker", "scheduler"])
async def test_worker_and_scheduler_end_in_order(p: RunningPlatform, name: str) -> None:
    internal = free_port()
    command = ["platform", name, "--internal-port", str(internal)]
    with run_process(command, env=p.environment, ready=f"{name} started") as process:
        await asyncio.to_thread(process.wait_for_url, f"http://127.0.0.1:{internal}/health/live")
        assert await asyncio.to_thread(process.terminate) == 0
        assert "Traceback" not in process.output


async def test_signal_during_the_start_is_obeyed(p: RunningPlatform, run_platform: RunPlatform) -> None:
    environment = {**p.environment, "DATABASE_URL_FILE": "", "DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}
    with run_platform("worker", env=environment, ready="waiting for PostgreSQL") as process:
        assert await asyncio.to_thread(process.terminate, timeout_seconds=10) == 0


async def test_taken_port_is_told_in_one_sentence(p: RunningPlatform, run_platform: RunPlatform) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with run_platform("serve", "--port", str(port), env=p.environment) as serve:
            assert await asyncio.to_thread(serve.wait) == 1
            assert f"Port {port} on 127.0.0.1 is taken" in serve.output


async def test_worker_that_is_stuck_tells_where_and_ends_itself(
    p: RunningPlatform, run_platform: RunPlatform
) -> None:
    async with await psycopg.AsyncConnection.connect(
        libpq_url(p.database_url), autocommit=True
    ) as connection:
        await connection.execute(
            "INSERT INTO platform.deliveries (id, handler, command, context)"
            " VALUES (gen_random_uuid(), 'sleeper.hang', '{}', '{}')"
        )
    environment = {**p.environment, "PLATFORM_LEASE_SECONDS": "0.5"}
    with run_platform("worker", env=environment, ready="the handler hangs") as worker:
        assert await asyncio.to_thread(worker.wait) == EXIT_STUCK
        assert "The event loop has done nothing for 1.5 s" in worker.output
        assert "in hang" in worker.output


def _until(condition, timeout_seconds: float = 30):
    deadline = time.monotonic() + timeout_seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found
