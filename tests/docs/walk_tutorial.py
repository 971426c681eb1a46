"""
A newcomer's walk through docs/tutorial.md, block by block as the page has them: `uv run nox -s tutorial`.

The newcomer has a machine with Python and nothing of ours: a home of their own, no checkout, no variables but
those of pip. What a package index would have, wheels of this tree, lies in a folder that pip is told of. Only two
things differ from the page: the port, which may be taken, and that what is a moment later is looked at again.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tutorial_page import REPOSITORY, Block, blocks

from platform_core.testing import RunningProcess, run_process

_TRIES_COUNT = 40
_PROJECTS = ("", "plugins/user_management")
_KEPT = ("PIP_", "SSL_", "LANG", "LC_", "HTTP", "http", "NO_PROXY", "no_proxy")
"""What of the environment tells pip where its index is, and what text is."""


class Terminal:
    """A shell that stays, so that what one block sets the next one has."""

    def __init__(self, home: Path, environment: list[str]) -> None:
        self._file = home / ".block"
        self._shell = subprocess.Popen(
            ["env", "-i", *environment, "bash", "--norc"],
            cwd=home / "work",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, text: str) -> str:
        """Do one block and return what it printed; fails with that where a command of it does."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._file.write_text(f"set -eo pipefail\n{text}\nset +e\n", encoding="utf-8")
        self._shell.stdin.write(f"source {self._file} </dev/null; echo; echo '=== end'\n")
        self._shell.stdin.flush()
        lines: list[str] = []
        for line in self._shell.stdout:
            if line == "=== end\n":
                return "".join(lines)
            lines.append(line)
        pytest.fail(f"$ {text}\n{''.join(lines)}", pytrace=False)

    def close(self) -> None:
        """End it, with everything that it has started."""
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.communicate()


@pytest.fixture
def home() -> Iterator[Path]:
    # not pytest's own: PostgreSQL runs as another user where the tests run as root, and has to get there
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        (path / "work").mkdir()
        yield path


@pytest.fixture
def environment(home: Path) -> list[str]:
    """The newcomer's, as arguments of `env -i`; the wheels are built on the way."""
    wheels = home / "wheels"
    for project in _PROJECTS:
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
        done = subprocess.run(build, cwd=REPOSITORY / project, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
    python = Path(sys.base_prefix) / "bin"
    return [
        f"{name}={value}"
        for name, value in {
            **kept,
            "HOME": str(home),
            "PATH": f"{python}:/usr/bin:/bin",
            "PIP_FIND_LINKS": " ".join(filter(None, [str(wheels), kept.get("PIP_FIND_LINKS")])),
            "PIP_CONSTRAINT": str(REPOSITORY / "constraints.txt"),
        }.items()
    ]


@pytest.fixture
def port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_newcomer_gets_from_the_first_block_to_the_last(
    home: Path, environment: list[str], port: int
) -> None:
    first, work = Terminal(home, environment), home / "work"
    with ExitStack() as stack:
        stack.callback(first.close)
        for block in blocks():
            if block.language == "diff":
                change(work / "platform-plugin-blog", block)
            elif block.language == "shell" and block.stays:
                stack.enter_context(second_terminal(block, work, environment, port))
            elif block.language == "shell":
                do(first, block, port)
        assert (work / "platform-plugin-blog" / "map" / "index.html").is_file()


def change(folder: Path, block: Block) -> None:
    done = subprocess.run(["git", "apply", "-"], input=block.text, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{block.text}\n{done.stderr}"


def do(terminal: Terminal, block: Block, port: int) -> None:
    """Do what the block says, once more where what it shows comes a moment later."""
    text = block.text.replace("localhost:8000", f"127.0.0.1:{port}")
    began, seen = time.monotonic(), list[str]()
    for _ in range(_TRIES_COUNT if block.shows else 1):
        seen.append(terminal.run(text))
        if block.shows is None or block.shows in seen[-1]:
            print(f"{time.monotonic() - began:5.1f} s  {block.text.splitlines()[0]}")
            return
        time.sleep(0.5)
    pytest.fail(f"$ {text}\nfirst:\n{seen[0]}\nlast:\n{seen[-1]}\nIt promises: {block.shows}", pytrace=False)


def second_terminal(block: Block, work: Path, environment: list[str], port: int) -> ExitStack:
    *before, last = block.text.strip().splitlines()
    script = "\n".join(["set -e", *before, f"exec {last} --port {port}"])
    stack = ExitStack()
    process: RunningProcess = stack.enter_context(
        run_process(
            ["env", "-i", *environment, "bash", "--norc", "-c", script],
            cwd=work,
            ready="Ctrl-C stops everything",
            timeout_seconds=120,
        )
    )
    stack.callback(process.terminate)
    return stack
