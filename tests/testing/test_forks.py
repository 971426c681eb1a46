"""Processes that are forked from a nursery: they are what a start would have made, and leave no trace either."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from children import PARENT, gone, is_alive

from platform_core.testing import PluginSource, ProcessProblem, RunPlatform, plugins_installed
from platform_core.testing._forks import Nursery

pytestmark = pytest.mark.processes


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "script.py"


def test_a_command_line_runs_to_its_end(run_platform: RunPlatform) -> None:
    with run_platform("--version") as process:
        assert process.wait() == 0
        assert process.output.startswith("platform-core 0.")


def test_a_newborn_has_the_arguments_directory_environment_and_files_it_was_given(
    run_platform: RunPlatform, script: Path, tmp_path: Path
) -> None:
    script.write_text(
        "import os, sys\nprint(sys.argv[1:], os.getcwd(), os.environ['MINE'])\nsys.exit('it failed')\n"
    )
    errors = tmp_path / "errors"
    with run_platform("a", "b", env={"MINE": "1"}, cwd=tmp_path, errors=errors, program=script) as process:
        assert process.wait() == 1
        assert process.output == f"['a', 'b'] {tmp_path} 1\n"
    assert errors.read_text() == "it failed\n"
    assert "MINE" not in os.environ


def test_it_finds_the_modules_that_only_its_environment_names(
    run_platform: RunPlatform, tmp_path: Path
) -> None:
    with plugins_installed(PluginSource(name="newcomer"), into=tmp_path) as paths:
        path = os.pathsep.join(map(str, paths))
        with run_platform(
            "modules", "list", env={"PYTHONPATH": path, "PLATFORM_MODULES": "newcomer"}
        ) as process:
            assert process.wait() == 0
            assert "newcomer" in process.output


def test_it_ends_as_an_interpreter_does(run_platform: RunPlatform, script: Path) -> None:
    script.write_text(
        "import atexit, threading, time\n"
        "atexit.register(print, 'atexit')\n"
        "threading.Thread(target=lambda: (time.sleep(0.2), print('the thread'))).start()\n"
        "raise RuntimeError('nobody caught it')\n"
    )
    with run_platform(program=script) as process:
        assert process.wait() == 1
        assert process.output.index("the thread") < process.output.index("atexit")
        assert "RuntimeError: nobody caught it" in process.output


def test_a_signal_is_told_like_any_other_end(run_platform: RunPlatform, script: Path) -> None:
    script.write_text("import time\nprint('x', flush=True)\ntime.sleep(60)\n")
    with run_platform(program=script, ready="x") as process:
        assert process.exit_code is None
        with pytest.raises(ProcessProblem, match=r"it still runs after 0\.1 s"):
            process.wait(timeout_seconds=0.1)
        assert process.terminate() == -signal.SIGTERM
        assert process.exit_code == -signal.SIGTERM


def test_children_of_a_killed_one_are_left_to_themselves_until_the_block_ends(
    run_platform: RunPlatform, script: Path
) -> None:
    script.write_text(PARENT)
    with run_platform(program=script) as process:
        child = int(process.wait_for_line(r"child (\d+)")[1])
        process.kill()
        assert process.exit_code == -signal.SIGKILL
        assert is_alive(child)
    assert gone(child)


def test_a_nursery_takes_what_it_bore_along_and_is_missed_with_its_last_words(
    tmp_path: Path, script: Path
) -> None:
    script.write_text(PARENT)
    nursery = Nursery(tmp_path, {})
    with nursery.run(program=script) as process:
        child = int(process.wait_for_line(r"child (\d+)")[1])
        nursery.close()
        assert gone(process.pid)
        assert gone(child)
    (tmp_path / "nursery.log").write_text("what it wrote")
    with pytest.raises(ProcessProblem, match=r"(?s)no process was born.*what it wrote"):
        with nursery.run("--version"):
            pass


def test_nothing_survives_tests_that_are_killed_themselves(tmp_path: Path, script: Path) -> None:
    script.write_text(PARENT)
    tests = f"""
import time
from pathlib import Path
from platform_core.testing._forks import Nursery
with Nursery(Path({str(tmp_path)!r}), {{}}).run(program=Path({str(script)!r})) as process:
    print(process.pid, process.wait_for_line(r"child (\\d+)")[1], flush=True)
    time.sleep(300)
"""
    with subprocess.Popen([sys.executable, "-c", tests], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pids = [int(word) for word in run.stdout.readline().split()]
        os.kill(run.pid, signal.SIGKILL)
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)
