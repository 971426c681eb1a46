"""Whole runs of pytest: their servers are shared by all workers, and gone whichever way the run ends."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.processes, pytest.mark.long]

ARGUMENTS = ["-p", "no:cacheprovider", "-p", "no:randomly", "-q"]

WRITES_DOWN = """
import psycopg
import pytest

@pytest.mark.parametrize("number", range(6))
def test_something(fresh_database_url, fresh_redis_url, number):
    with psycopg.connect(fresh_database_url) as connection:
        connection.execute("CREATE TABLE mine ()")
    with open("seen.txt", "a") as seen:
        seen.write(f"{fresh_database_url} {fresh_redis_url}\\n")
"""


def servers_in(output: Path) -> tuple[set[str], set[str]]:
    lines = [line.split() for line in output.read_text().splitlines()]
    hosts = {re.sub(r"/platform_test_\w+", "", database) for database, _ in lines}
    return hosts, {url.partition("?")[0] for _, url in lines}


def test_all_xdist_workers_share_one_server_of_each(pytester: pytest.Pytester, own_cache: Path) -> None:
    pytester.makepyfile(WRITES_DOWN)
    result = pytester.runpytest_subprocess(*ARGUMENTS, "-n", "2")
    result.assert_outcomes(passed=6)
    lines = [line.split() for line in (own_cache / "seen.txt").read_text().splitlines()]
    assert len({database for database, _ in lines}) == 6, "a database for each test"
    postgres, redis_ = servers_in(own_cache / "seen.txt")
    assert (len(postgres), len(redis_)) == (1, 1)
    workers = {url.rpartition("db=")[2] for _, url in lines}
    assert workers <= {"0", "1"}


def test_nothing_survives_a_run_that_is_killed(pytester: pytest.Pytester, own_cache: Path) -> None:
    pytester.makepyfile(
        """
        import time
        import psycopg

        def test_waits(fresh_database_url, fresh_redis_url):
            with psycopg.connect(fresh_database_url) as connection:
                row = connection.execute("SELECT current_setting('data_directory')").fetchone()
            with open("place.txt", "w") as place:
                place.write(row[0])
            time.sleep(300)
        """
    )
    place = own_cache / "place.txt"
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *ARGUMENTS],
        cwd=own_cache,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as run:
        wait_until(lambda: place.exists() and place.read_text() != "", 60)
        os.kill(run.pid, signal.SIGKILL)
    slot = Path(place.read_text()).parent
    wait_until(lambda: not working_in(slot), 30)

    # and the next run starts afresh
    pytester.makepyfile(WRITES_DOWN)
    pytester.runpytest_subprocess(*ARGUMENTS).assert_outcomes(passed=6)


def test_a_test_that_ends_its_process_fails_and_keeps_nobody_waiting(
    pytester: pytest.Pytester, own_cache: Path
) -> None:
    """As the sessions run them; xdist's `loadfile` waits for ever here (pytest-xdist issue 784)."""
    fine = "import time\ndef test_one(): time.sleep(0.2)\ndef test_two(): pass\n"
    crashes = "import os\ndef test_one(): pass\ndef test_two(): os._exit(3)\ndef test_three(): pass\n"
    pytester.makepyfile(**{f"test_{number}": fine for number in range(5)}, test_crashes=crashes)
    command = [sys.executable, "-m", *_as_the_sessions_do(), *ARGUMENTS]
    run = subprocess.run(command, cwd=own_cache, capture_output=True, text=True, timeout=120)
    assert run.returncode == 1, run.stdout
    assert "1 failed, 12 passed" in run.stdout
    assert "crashed while running 'test_crashes.py::test_two'" in run.stdout


def _as_the_sessions_do() -> list[str]:
    pytest.importorskip("nox")  # it is not where only what users install is
    spec = importlib.util.spec_from_file_location("sessions", Path(__file__).parents[2] / "noxfile.py")
    assert spec is not None
    assert spec.loader is not None
    sessions = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sessions)
    command: list[str] = sessions.PYTEST
    return command


def working_in(directory: Path) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if Path(os.readlink(entry)).is_relative_to(directory):
                found.append(int(entry.parts[2]))
        except OSError:
            continue
    return found


def wait_until(condition, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
