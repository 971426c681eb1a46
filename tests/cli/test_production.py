"""Production refuses to start on development values, and says all of them at once (C88)."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from platform_core._production import problems, weakness
from platform_core.settings import read_settings

GOOD = {
    "PLATFORM_ENV": "production",
    "DATABASE_URL": f"postgresql://platform:{secrets.token_urlsafe(24)}@db/platform",
    "REDIS_URL": "redis://redis:6379/0",
    "PLATFORM_SECRET_KEY": secrets.token_urlsafe(48),
    "PLATFORM_PUBLIC_URL": "https://api.example.com",
    "PLATFORM_ALLOWED_HOSTS": "api.example.com,*.internal.example.com",
}
BAD = {
    "PLATFORM_SECRET_KEY": "changeme" * 8,
    "PLATFORM_PUBLIC_URL": "http://api.example.com",
    "PLATFORM_ALLOWED_HOSTS": "*",
    "PLATFORM_CORS_ORIGINS": "https://a.example.com,*",
    "PLATFORM_DEBUG": "1",
    "PLATFORM_ADMIN_PASSWORD": "password123",
    "DATABASE_URL": "postgresql://postgres:postgres@db/platform",  # pragma: allowlist secret
    "PLATFORM_SHOP_PEPPER": "development-only-abc",
}


def told(source: dict[str, str]) -> list[str]:
    return [str(problem) for problem in problems(read_settings(source), source)]


def test_proper_settings_pass() -> None:
    assert told(GOOD) == []


def test_every_problem_is_told_at_once() -> None:
    text = "\n".join(told({**GOOD, **BAD}))
    for variable in BAD:
        assert variable in text
    assert len(told({**GOOD, **BAD})) == len(BAD)


def test_no_value_is_ever_repeated() -> None:
    text = "\n".join(told({**GOOD, **BAD}))
    for secret in ("changemechangeme", "password123", "postgres:postgres", "development-only-abc"):
        assert secret not in text


@pytest.mark.parametrize("environment", ["development", "test"])
def test_desks_and_tests_may_do_all_of_it(environment: str) -> None:
    assert told({**GOOD, **BAD, "PLATFORM_ENV": environment}) == []


def test_staging_is_as_strict_as_production() -> None:
    assert len(told({**GOOD, **BAD, "PLATFORM_ENV": "staging"})) == len(BAD)


def test_missing_public_url_and_hosts_are_problems() -> None:
    source = {k: v for k, v in GOOD.items() if k not in ("PLATFORM_PUBLIC_URL", "PLATFORM_ALLOWED_HOSTS")}
    text = "\n".join(told(source))
    assert "PLATFORM_PUBLIC_URL is not set" in text
    assert "PLATFORM_ALLOWED_HOSTS answers to every name" in text


def test_secret_in_a_mounted_file_is_looked_at_too(tmp_path: Path) -> None:
    path = tmp_path / "pepper"
    path.write_text("development-only-abc")
    assert "PLATFORM_SHOP_PEPPER_FILE was made by `platform dev`" in "\n".join(
        told({**GOOD, "PLATFORM_SHOP_PEPPER_FILE": str(path)})
    )


@pytest.mark.parametrize(
    "secret",
    [
        "a" * 40,
        "changeme" * 8,
        "0" * 32,
        "abcabcabcabcabcabcabcabcabcabcabcabc",
        "my-very-secret-key-for-production-01",
    ],
)
def test_patterns_and_examples_are_no_secrets(secret: str) -> None:
    assert weakness(secret) is not None


def test_random_texts_of_every_usual_alphabet_are_secrets() -> None:
    makers = (lambda: secrets.token_hex(16), lambda: secrets.token_urlsafe(24), lambda: secrets.token_hex(32))
    assert [weakness(make()) for make in makers for _ in range(300)] == [None] * 900


def test_serve_refuses_before_anything_is_connected(cli) -> None:
    outcome = cli("serve", "--port", "0", env={**GOOD, **BAD})
    assert outcome.code == 1
    for variable in BAD:
        assert variable in outcome.err
    assert "refuses this" in outcome.err


@pytest.mark.parametrize("process", ["worker", "scheduler"])
def test_other_processes_refuse_as_well(cli, process: str) -> None:
    outcome = cli(process, env={**GOOD, **BAD})
    assert outcome.code == 1
    assert "PLATFORM_SECRET_KEY" in outcome.err


def test_dev_refuses_production(cli) -> None:
    outcome = cli("dev", env={"PLATFORM_ENV": "production"})
    assert outcome.code == 1
    assert "`platform dev` is for development" in outcome.err
