"""Processes that tests start, kill and leave no trace of."""

import os
import signal
import subprocess
import sys

import pytest
from children import PARENT, gone, is_alive

from platform_core.testing import ProcessProblem, run_process

pytestmark = pytest.mark.processes


def test_a_line_of_the_output_can_be_waited_for() -> None:
    with run_process(
        [sys.executable, "-c", "print('listening on', 1234); import time; time.sleep(60)"]
    ) as process:
        assert process.wait_for_line(r"listening on (\d+)")[1] == "1234"
        assert process.exit_code is None
    assert gone(process.pid)


def test_a_url_can_be_waited_for(tmp_path) -> None:
    (tmp_path / "hello").write_text("there")
    script = (
        "import http.server\n"
        "server = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\n"
        "print('port', server.server_port, flush=True)\nserver.serve_forever()"
    )
    with run_process([sys.executable, "-c", script], cwd=tmp_path, ready=r"^port \d+$") as process:
        port = process.wait_for_line(r"port (\d+)")[1]
        assert process.wait_for_url(f"http://127.0.0.1:{port}/hello") == b"there"


def test_one_that_ends_too_early_is_told_with_the_end_of_its_output() -> None:
    with pytest.raises(ProcessProblem, match=r"(?s)no line matches 'ready'.*ended with 3.*it is broken"):
        with run_process([sys.executable, "-c", "print('it is broken'); raise SystemExit(3)"], ready="ready"):
            pass


def test_one_that_takes_too_long_is_told_and_ended() -> None:
    with run_process(
        [sys.executable, "-c", "import time; print('x', flush=True); time.sleep(60)"], ready="x"
    ) as process:
        with pytest.raises(ProcessProblem, match=r"no line matches 'never' within 0\.1 s"):
            process.wait_for_line("never", timeout_seconds=0.1)
        with pytest.raises(ProcessProblem, match=r"it still runs after 0\.1 s"):
            process.wait(timeout_seconds=0.1)
    assert gone(process.pid)


def test_it_can_be_asked_to_end() -> None:
    script = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("x", flush=True)
time.sleep(60)
"""
    with run_process([sys.executable, "-c", script], ready="x") as process:
        assert process.terminate() == 7


def test_a_killed_process_leaves_its_children_to_themselves_until_the_block_ends() -> None:
    with run_process([sys.executable, "-c", PARENT]) as process:
        child = int(process.wait_for_line(r"child (\d+)")[1])
        process.kill()
        assert process.exit_code == -signal.SIGKILL
        assert is_alive(child)
    assert gone(child)


def test_a_whole_group_can_be_killed() -> None:
    with run_process([sys.executable, "-c", PARENT]) as process:
        child = int(process.wait_for_line(r"child (\d+)")[1])
        process.kill(group=True)
        assert gone(child)


def test_nothing_survives_tests_that_are_killed_themselves() -> None:
    script = f"""
import sys, time
from platform_core.testing import run_process
with run_process([sys.executable, "-c", {PARENT!r}]) as process:
    print(process.pid, process.wait_for_line(r"child (\\d+)")[1], flush=True)
    time.sleep(300)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        pids = [int(word) for word in tests.stdout.readline().split()]
        os.kill(tests.pid, signal.SIGKILL)
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)
