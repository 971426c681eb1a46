"""What the log makes of secrets: by their name, by their look, and by being this deployment's own."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

from platform_core import logs

OWN = "correct-horse-battery-staple"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """What is configured here goes for the whole process, and other tests look at what is logged, too."""
    root, stdout, configuration = logging.getLogger(), sys.stdout, structlog.get_config()
    handlers, level = root.handlers[:], root.level
    direct = vars(logs._direct).copy()
    yield
    sys.stdout = stdout
    structlog.configure(**configuration)
    root.handlers[:] = handlers
    root.setLevel(level)
    vars(logs._direct).clear()
    vars(logs._direct).update(direct)


@contextlib.contextmanager
def lines() -> Iterator[list[dict[str, Any]]]:
    """Collect what is logged as JSON during the block."""
    collected: list[dict[str, Any]] = []
    stream, before = io.StringIO(), sys.stderr
    sys.stderr = stream
    try:
        logs.configure(level="DEBUG", json=True)
        yield collected
    finally:
        sys.stderr = before
        logs.configure(level="INFO", json=False)
    collected += [orjson.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    "variables",
    [
        {"PLATFORM_SECRET_KEY": OWN},
        {"PLATFORM_MAIL_PASSWORD": OWN},
        {"PLATFORM_SHOP_SIGNING_KEY": f"-----BEGIN\n{OWN}\n-----END"},
        {"SMTP_URL": f"smtp://somebody:{OWN}@mail.example"},
        {"DATABASE_URL": "postgresql://me:correct-horse%2Dbattery-staple@db/x"},  # pragma: allowlist secret
    ],
)
def test_the_deployments_own_secrets_are_masked_wherever_they_turn_up(variables: dict[str, str]) -> None:
    logs.conceal(variables)
    for value in (OWN, f"a{OWN}b", [OWN], {"a": (OWN,)}, Exception(OWN), OWN.encode(), {OWN}):
        assert OWN not in str(logs.masked(value)), value


def test_a_secret_in_a_file_is_one_too(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{OWN}\n")
    logs.conceal(
        {"PLATFORM_SECRET_KEY_FILE": str(tmp_path / "key"), "PLATFORM_OTHER_KEY_FILE": str(tmp_path)}
    )
    assert logs.masked(f"it is {OWN}.") == "it is [redacted]."


def test_what_is_no_secret_or_too_short_stays() -> None:
    logs.conceal({"PLATFORM_ADMIN_PASSWORD": "admin", "PLATFORM_ENV": "production"})
    assert logs.masked("admin of production") == "admin of production"
    assert logs.masked({"count": 3, "ratio": 0.5, "is": True, "none": None}) == {
        "count": 3,
        "ratio": 0.5,
        "is": True,
        "none": None,
    }


def test_what_is_printed_is_a_line_of_the_log_with_its_printer_and_without_secrets() -> None:
    logs.conceal({"PLATFORM_SECRET_KEY": OWN})
    with lines() as logged:
        logs.capture_prints()
        print("first", OWN)
        print("sec", end="")
        print("ond\nthird")
    shown = [(line["event"], line["text"], line["printer"]) for line in logged]
    assert [text for _, text, _ in shown] == ["first [redacted]", "second", "third"]
    assert {(event, printer) for event, _, printer in shown} == {("printed", __name__)}


def test_a_traceback_is_masked_and_still_one() -> None:
    logs.conceal({"PLATFORM_SECRET_KEY": OWN})
    with lines() as logged:
        try:
            raise RuntimeError(OWN)
        except RuntimeError:
            structlog.get_logger("test").exception("it failed")
    [line] = logged
    assert "RuntimeError: [redacted]" in line["exception"]
