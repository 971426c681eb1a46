"""The operations pages name commands, options and sessions that there are; the scripts decide rightly."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from platform_core.cli._root import root

REPOSITORY = Path(__file__).parents[2]
PAGES = [
    *sorted((REPOSITORY / "docs" / "operations").glob("*.md")),
    REPOSITORY / "helm" / "platform" / "README.md",
]
COMMAND = re.compile(r"(?:^|[`\s])platform (?P<line>[a-z][^`\n#;|<>…]*)")
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
SESSION = re.compile(r"nox(?P<sessions>(?: -s [a-z]+)+)")


def commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = page.read_text()
        quoted = re.findall(r"`([^`\n]+)`", text) + re.findall(r"```shell\n(.*?)```", text, re.S)
        for part in quoted:
            for line in part.splitlines():
                found = COMMAND.search(line)
                if found and not re.search(r"(-n|namespace|helm.*) platform ", line):
                    yield page.name, found["line"].strip()


def parsed(words: list[str]) -> str | None:
    """Return what is wrong with a command line, as the command line itself sees it."""
    command, path = root(), "platform"
    while words and hasattr(command, "get_command") and not words[0].startswith("-"):
        found = command.get_command(command.context_class(command), words[0])
        if found is None:
            return f"{path} has no {words[0]}"
        command, path, words = found, f"{path} {words[0]}", words[1:]
    options = {name for parameter in command.params for name in parameter.opts}
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in options]
    return f"{path} has no {unknown}" if unknown else None


def test_every_command_of_the_pages_is_there_with_its_options() -> None:
    lines = list(commands())
    assert len(lines) > 30, "too little was found"
    wrong = [f"{page}: platform {line}: {why}" for page, line in lines if (why := parsed(shlex.split(line)))]
    assert wrong == []


def test_every_session_that_pages_and_workflows_name_is_in_the_noxfile() -> None:
    sessions = set(re.findall(r"^def ([a-z]+)\(session", (REPOSITORY / "noxfile.py").read_text(), re.M))
    named = {
        name
        for page in PAGES
        for found in SESSION.finditer(page.read_text())
        for name in found["sessions"].split()
        if name != "-s"
    }
    for workflow in (REPOSITORY / ".github" / "workflows").glob("*.yml"):
        for job in yaml.safe_load(workflow.read_text())["jobs"].values():
            named |= set(job.get("strategy", {}).get("matrix", {}).get("session", []))
    assert named
    assert named <= sessions


def test_every_test_that_pages_name_is_there() -> None:
    named = {found for page in PAGES for found in TEST.findall(page.read_text())}
    assert any(function for _, function in named)
    for path, function in named:
        file = REPOSITORY / path
        assert file.exists(), path
        assert not function or f"def {function}(" in file.read_text(), f"{path}::{function}"


def test_actions_are_pinned_to_commits_and_workflows_may_nothing_by_default() -> None:
    for workflow in (REPOSITORY / ".github" / "workflows").glob("*.yml"):
        text = workflow.read_text()
        used = re.findall(r"uses: (\S+)(.*)", text)
        assert used
        for action, comment in used:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action)
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment)
        assert yaml.safe_load(text)["permissions"] == {}


@contextmanager
def prometheus(refusals: int = 0, /, **answers: str) -> Iterator[str]:
    """Answer queries as Prometheus does, by the first word that is in the query; so many before with a 503."""
    refused = iter(range(refusals))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if next(refused, None) is not None:
                self.send_error(503)
                return
            query = parse_qs(urlsplit(self.path).query)["query"][0]
            value = next((answer for word, answer in answers.items() if word in query), None)
            result = [] if value is None else [{"metric": {}, "value": [0, value]}]
            body = json.dumps(
                {"status": "success", "data": {"resultType": "vector", "result": result}}
            ).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


needs_jq = pytest.mark.skipif(
    not (shutil.which("jq") and shutil.which("curl")), reason="the scripts need them: apt-get install curl jq"
)


def watch(url: str) -> tuple[int, str]:
    environment = {"PROMETHEUS_URL": url, "SECONDS_WATCHED": "1", "PAUSE_SECONDS": "0.2", "PATH": os.defpath}
    script = REPOSITORY / "deploy" / "watch-objective.sh"
    done = subprocess.run([script], env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@needs_jq
@pytest.mark.parametrize(
    ("answers", "code", "told"),
    [
        ({"build_info": "7", "histogram": "0.04"}, 0, "the objective held"),
        ({"build_info": "7", "5..": "0.004", "histogram": "NaN"}, 0, "the objective held"),
        (
            {"build_info": "7", "5..": "0.02", "histogram": "0.04"},
            1,
            "more than 1 % of the requests fail (3 of 3)",
        ),
        ({"build_info": "7", "histogram": "0.75"}, 1, "longer than half a second (3 of 3)"),
        ({}, 1, "no process of the platform is seen (3 of 3)"),
    ],
)
def test_a_release_is_watched_for_what_the_objective_says(
    answers: dict[str, str], code: int, told: str
) -> None:
    with prometheus(**answers) as url:
        ended, output = watch(url)
    assert (ended, told in output) == (code, True), output


@needs_jq
def test_a_look_or_two_that_fail_take_no_release_back() -> None:
    with prometheus(2, build_info="7", histogram="0.04") as url:
        ended, output = watch(url)
    assert ended == 0, output
    assert "Prometheus does not answer (2 of 3)" in output
    ended, output = watch(url)
    assert ended == 1, "nobody is there any more"
    assert "Prometheus does not answer (3 of 3)" in output
