"""What a development platform makes for itself, and how other commands find it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import BaseModel, Field, SecretStr

from platform_core._development import (
    SecretStore,
    announced,
    missing_secrets,
    running_addresses,
    services,
)
from platform_core._environment import is_development
from platform_core._production import weakness
from platform_core.errors import InvalidSettings, OperationError


class _Settings(BaseModel):
    pepper: SecretStr = Field(json_schema_extra={"development": "secret"})
    key: SecretStr = Field(json_schema_extra={"development": "ed25519"})
    address: str


class _Strange(BaseModel):
    key: SecretStr = Field(json_schema_extra={"development": "rsa"})


def test_marked_secrets_are_made_and_nothing_else() -> None:
    made = missing_secrets("shop", _Settings, {})
    assert made.keys() == {"PLATFORM_SHOP_PEPPER", "PLATFORM_SHOP_KEY"}
    assert len(made["PLATFORM_SHOP_PEPPER"]) >= 32
    key = load_pem_private_key(made["PLATFORM_SHOP_KEY"].encode(), None)
    assert isinstance(key, Ed25519PrivateKey)


def test_given_secrets_are_left_alone() -> None:
    given = {"PLATFORM_SHOP_PEPPER": "mine", "PLATFORM_SHOP_KEY_FILE": "/run/secrets/key"}
    assert missing_secrets("shop", _Settings, given) == {}


def test_unknown_way_to_make_a_secret_names_module_and_field() -> None:
    with pytest.raises(InvalidSettings, match="shop: its setting key is to be made as 'rsa'"):
        missing_secrets("shop", _Strange, {})


def test_production_recognises_every_secret_that_development_made() -> None:
    for secret in missing_secrets("shop", _Settings, {}).values():
        assert weakness(secret) == "was made by `platform dev`"


def test_secrets_are_kept_for_the_next_start_and_for_nobody_else(tmp_path: Path) -> None:
    first = SecretStore(tmp_path).complete("shop", _Settings, {})
    assert SecretStore(tmp_path).complete("shop", _Settings, {}) == first
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_store_that_keeps_nothing_writes_nothing(tmp_path: Path) -> None:
    SecretStore(tmp_path / "nowhere", keeps=False).complete("shop", _Settings, {})
    assert not (tmp_path / "nowhere").exists()


def test_unreadable_secrets_are_not_silently_replaced(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("{")
    with pytest.raises(OperationError, match="Mend it, or delete it"):
        SecretStore(tmp_path)


def test_running_platform_is_found_only_while_it_runs(tmp_path: Path) -> None:
    addresses = {"DATABASE_URL": "postgresql:///here", "REDIS_URL": "unix:///here"}
    assert running_addresses(tmp_path) is None
    with announced(tmp_path, addresses):
        assert running_addresses(tmp_path) == addresses
        with services({}, tmp_path) as shared:
            assert shared == addresses
    assert running_addresses(tmp_path) is None


def test_addresses_left_behind_by_a_killed_platform_are_not_believed(tmp_path: Path) -> None:
    (tmp_path / "running.json").write_text('{"DATABASE_URL": "postgresql:///gone"}')
    assert running_addresses(tmp_path) is None


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, True),
        ({"PLATFORM_ENV": "development", "DATABASE_URL": "postgresql:///x"}, True),
        ({"DATABASE_URL": "postgresql:///x"}, False),
        ({"DATABASE_URL_FILE": "/run/secrets/url"}, False),
        ({"PLATFORM_ENV": "production"}, False),
        ({"PLATFORM_ENV": "test"}, False),
    ],
)
def test_commands_use_the_development_platform_only_where_nothing_else_is_meant(
    variables: dict[str, str], expected: bool
) -> None:
    assert is_development(variables) is expected
