"""The set of plugins is checked before anything is imported, and every problem is told at once."""

from dataclasses import replace
from pathlib import Path

import pytest

from platform_core.errors import (
    DuplicatePlugin,
    ForbiddenInteraction,
    IncompatibleVersion,
    InvalidManifest,
    InvalidSettings,
    MissingPlugin,
    NameCollision,
    PluginCycle,
    StartupError,
    StartupFailed,
)
from platform_core.testing import PluginSource, plugins_installed

EXPLODES = {"__init__.py": "raise AssertionError('a broken set must not be imported')"}


def plugin(name: str, *requires: str, **options: object) -> PluginSource:
    needs = ["platform-core", *(f"platform-plugin-{other}" for other in requires)]
    return replace(PluginSource(name=name, requires=needs, manifest=manifest()), **options)  # type: ignore[arg-type]  # as given


def manifest(**fields: object) -> str:
    lines = [
        f"{key} = {value!r}".replace("'", '"')
        for key, value in {"title": "T", "boot": "required", **fields}.items()
    ]
    return "\n".join(lines)


def only_cause(failure: pytest.ExceptionInfo[StartupFailed], kind: type[StartupError]) -> str:
    [error] = failure.value.exceptions
    assert isinstance(error, kind)
    return str(error)


def test_plugins_come_in_dependency_order_and_by_name_where_it_is_open(load) -> None:
    kernel = load(plugin("zoo", "base_x"), plugin("animals", "zoo"), plugin("base_x"), plugin("alone"))
    assert [p.name for p in kernel.plugins] == ["platform", "alone", "base_x", "zoo", "animals"]
    by_name = {p.name: p for p in kernel.plugins}
    assert by_name["animals"].requires == ("zoo",)


def test_an_extra_orders_but_is_not_needed(load) -> None:
    with_extra = plugin("aaa", requires=["platform-core", 'platform-plugin-zzz; extra == "zzz"'])
    assert [p.name for p in load(with_extra).plugins] == ["platform", "aaa"]
    assert [p.name for p in load(with_extra, plugin("zzz")).plugins] == ["platform", "zzz", "aaa"]


def test_two_distributions_of_one_name_are_refused(load) -> None:
    with pytest.raises(StartupFailed) as failure:
        load(plugin("twice"), plugin("twice", distribution="another-distribution"))
    assert "another-distribution and platform-plugin-twice both offer it" in only_cause(
        failure, DuplicatePlugin
    )


def test_a_circle_is_drawn(load) -> None:
    with pytest.raises(StartupFailed) as failure:
        load(
            plugin("one", "two", files=EXPLODES),
            plugin("two", "three", files=EXPLODES),
            plugin("three", "one", files=EXPLODES),
        )
    message = only_cause(failure, PluginCycle)
    assert "need each other in a circle" in message
    assert {"one", "two", "three"} <= set(message.replace("→", " ").split())


def test_a_version_that_does_not_fit_says_whose_and_which(load) -> None:
    with pytest.raises(StartupFailed) as failure:
        load(plugin("modern", requires=["platform-core>=99"]))
    assert "modern: needs platform-core >=99, but 0.1.0 is installed" in only_cause(
        failure, IncompatibleVersion
    )
    with pytest.raises(StartupFailed) as failure:
        load(plugin("newer", requires=["platform-plugin-older>=2"]), plugin("older", version="1.4"))
    assert "newer: needs platform-plugin-older >=2, but 1.4 is installed" in only_cause(
        failure, IncompatibleVersion
    )


def test_a_missing_neighbour_and_a_missing_name_of_the_allow_list_come_with_the_command_that_helps(
    load,
) -> None:
    with pytest.raises(StartupFailed) as failure:
        load(plugin("lonely", "friend_x"))
    message = only_cause(failure, MissingPlugin)
    assert "lonely: needs friend_x, which is not loaded" in message
    assert "pip install platform-plugin-friend-x" in message
    with pytest.raises(StartupFailed) as failure:
        load(PLATFORM_MODULES="not_there")
    assert "not_there: PLATFORM_MODULES names it, but it is not installed" in only_cause(
        failure, MissingPlugin
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "there is no plugin.toml in its package"),
        ("title = ", "plugin.toml is no TOML"),
        ("boot = 'required'", "plugin.toml: title: Field required"),
        ("title = 'x'\nboot = 'maybe'", "plugin.toml: boot:"),
        ("title = 'x'\nquerys = []", "plugin.toml: querys: Extra inputs are not permitted"),
        ("title = 'x'\nboot = 'required'\npaths = ['users']", "the path 'users' does not begin with /"),
    ],
)
def test_a_wrong_manifest_is_told_without_importing_the_plugin(load, text: str | None, expected: str) -> None:
    with pytest.raises(StartupFailed) as failure:
        load(plugin("broken", manifest=text, files=EXPLODES))
    assert expected in only_cause(failure, InvalidManifest)


def test_code_in_a_package_of_another_name_is_refused(load) -> None:
    with pytest.raises(StartupFailed) as failure:
        load(plugin("inside", entry_point="outside.plugin"))
    assert "its code lives in the package 'outside'" in only_cause(failure, InvalidManifest)


@pytest.mark.parametrize("name", ["audit", "seeds", "platform", "Upper", "x"])
def test_a_name_that_cannot_be_a_schema_is_refused(load, name: str) -> None:
    with pytest.raises(StartupFailed) as failure:
        load(plugin(name))
    assert "is not a possible name" in only_cause(failure, InvalidManifest)


def test_a_neighbour_that_the_manifest_names_has_to_be_a_dependency(load) -> None:
    with pytest.raises(StartupFailed) as failure:
        load(plugin("asker", manifest=manifest(queries=["asked"])), plugin("asked"))
    assert "plugin.toml lets it query asked, but its package does not depend on it" in only_cause(
        failure, ForbiddenInteraction
    )


def test_two_owners_of_one_path_are_refused(load) -> None:
    with pytest.raises(StartupFailed) as failure:
        load(
            plugin("one", manifest=manifest(paths=["/things"])),
            plugin("two", manifest=manifest(paths=["/things"])),
        )
    assert "one and two both claim the path /things" in only_cause(failure, NameCollision)


def test_every_problem_of_the_set_is_told_at_once(load) -> None:
    with pytest.raises(StartupFailed) as failure:
        load(
            plugin("one", requires=["platform-core>=99"]),
            plugin("two", manifest="title = "),
            plugin("three", "nobody_x"),
            PLATFORM_MODULES="one,two,three,four",
        )
    told = {cause.plugin for cause in failure.value.causes()}
    assert told == {"one", "two", "three", "four"}
    assert str(failure.value).startswith("The platform cannot start:\n  • ")
    assert str(failure.value).count("•") == 4
    assert str(failure.value).count("→") >= 3, "most lines say what to do"


def test_settings_are_checked_before_anything_starts_and_never_shown(load) -> None:
    configured = plugin(
        "configured",
        files={
            "plugin.py": """
from platform_core import hookimpl
from pydantic import BaseModel, SecretStr

class Settings(BaseModel):
    token: SecretStr
    limit: int = 3

@hookimpl
def register_settings():
    return Settings
"""
        },
    )
    with pytest.raises(StartupFailed) as failure:
        load(configured, PLATFORM_CONFIGURED_LIMIT="hunter2")
    message = only_cause(failure, InvalidSettings)
    assert "PLATFORM_CONFIGURED_TOKEN is not set" in message
    assert "PLATFORM_CONFIGURED_LIMIT" in message
    assert "hunter2" not in message
    kernel = load(configured, PLATFORM_CONFIGURED_TOKEN="secret", PLATFORM_CONFIGURED_LIMIT="5")
    assert kernel.declared["configured"].settings.limit == 5


def test_a_throw_away_plugin_leaves_nothing_behind(tmp_path: Path) -> None:
    import importlib.util
    import sys

    with plugins_installed(PluginSource(name="ephemeral"), into=tmp_path / "x") as paths:
        assert importlib.util.find_spec("ephemeral") is not None
        __import__("ephemeral.plugin")
    assert importlib.util.find_spec("ephemeral") is None
    assert not any(name.startswith("ephemeral") for name in sys.modules)
    assert not {str(path) for path in paths} & set(sys.path)
