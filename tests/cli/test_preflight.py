"""`platform modules check`: what is wrong with a set, installed or not, is told before anything is started."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from platform_core.testing import PluginSource, plugins_installed

if TYPE_CHECKING:
    from conftest import CommandLine

USERS = "platform-plugin-user-management"

ROUTE = """
from platform_core import hookimpl
from platform_core.http import Router

router = Router()

@router.get("{path}", public=True)
async def here() -> str:
    return "here"

@hookimpl
def register_routes():
    return [router]
"""


def wheel(source: PluginSource, folder: Path) -> Path:
    """Pack a plugin; a wheel is a zip file of the package and its metadata."""
    unpacked = folder / source.name
    unpacked.mkdir(parents=True)
    source.write(unpacked)
    path = folder / f"{source.name}-{source.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(unpacked.rglob("*")):
            archive.write(file, file.relative_to(unpacked))
    return path


def areas(found: Any) -> dict[tuple[str, str], str]:
    return {(p["area"], p["plugin"]): p["problem"] for p in found["problems"] + found["remarks"]}


def test_check_of_a_sound_set_is_code_0_and_says_what_was_looked_at(cli: CommandLine) -> None:
    outcome = cli("modules", "check")
    assert outcome.code == 0, outcome.out
    assert "all fit together" in outcome.out
    assert "✓ packages      every Python package that they ask for is there" in outcome.out
    assert "- database      not asked" in outcome.out
    assert "\x1b" not in outcome.out


def test_check_tells_every_cause_at_once(cli: CommandLine, tmp_path: Path) -> None:
    lost = PluginSource(
        name="lost",
        requires=["platform-core", "platform-plugin-nowhere"],
        manifest='title = "L"\nboot = "required"\n',
    )
    future = PluginSource(
        name="future", requires=["platform-core>=99"], manifest='title = "F"\nboot = "required"\n'
    )
    silent = PluginSource(name="silent", manifest=None)
    with plugins_installed(lost, future, silent, into=tmp_path / "p") as paths:
        path = {"PYTHONPATH": ":".join(map(str, paths))}
        outcome = cli("modules", "check", env=path)
        found = cli("modules", "check", "--json", env=path)
    assert outcome.code == found.code == 1
    for told in (
        "lost: needs nowhere",
        "future: needs platform-core >=99",
        "silent: there is no plugin.toml",
    ):
        assert told in outcome.out
    assert "This set does not start: 3 problems." in outcome.out
    assert {problem["plugin"] for problem in found.json["problems"]} == {"lost", "future", "silent"}
    assert all(problem["hint"] for problem in found.json["problems"])
    assert "- database      not asked, as the set cannot be put together" in outcome.out


def test_check_names_an_optional_module_that_would_be_left_out(cli: CommandLine, tmp_path: Path) -> None:
    broken = PluginSource(name="broken", files={"plugin.py": "raise ValueError('boom')"})
    with plugins_installed(broken, into=tmp_path / "p") as paths:
        outcome = cli("modules", "check", env={"PYTHONPATH": ":".join(map(str, paths))})
    assert outcome.code == 1
    assert "ValueError: boom" in outcome.out
    assert "1 optional of them would be left out" in outcome.out


def test_python_packages_that_do_not_fit_are_told_with_whom_they_do_fit(
    cli: CommandLine, tmp_path: Path
) -> None:
    old = PluginSource(name="old", requires=["platform-core", "pydantic<2"])
    odd = PluginSource(name="odd", requires=["platform-core", "no-such-package[extra]>=3"])
    tidy = PluginSource(
        name="tidy", requires=["platform-core", "no-such-package; python_version < '3'", "pydantic>=2"]
    )
    with plugins_installed(old, odd, tidy, into=tmp_path / "p") as paths:
        outcome = cli("modules", "check", "--json", env={"PYTHONPATH": ":".join(map(str, paths))})
    told = areas(outcome.json)
    assert outcome.code == 1
    assert "needs the Python package no-such-package >=3, which is not installed" in told["packages", "odd"]
    assert "needs the Python package pydantic <2, but 2." in told["packages", "old"]
    assert "tidy" in told["packages", "old"]  # it can work with the installed one
    assert ("packages", "tidy") not in told
    hints = {p["plugin"]: p["hint"] for p in outcome.json["problems"]}
    assert hints["old"].startswith(
        "take another release of old, or where one of pydantic suits all: pip install 'pydantic<2,<3"
    )
    assert hints["old"].count(">=") == 1, "one lower bound, the highest"


def test_a_wheel_is_judged_with_what_is_installed_and_leaves_nothing(
    cli: CommandLine, tmp_path: Path
) -> None:
    manifest = 'title = "Blog"\npaths = ["/blog"]\n'
    good = wheel(
        PluginSource(name="blog", manifest=manifest, files={"plugin.py": ROUTE.format(path="/blog")}),
        tmp_path / "good",
    )
    outcome = cli("modules", "check", str(good))
    assert outcome.code == 0, outcome.out + outcome.err
    assert "not installed, only considered: platform-plugin-blog 0.1.0" in outcome.err
    assert "blog" not in {module["name"] for module in cli("modules", "list", "--json").json}

    greedy = PluginSource(
        name="blog",
        version="2.0.0",
        manifest='title = "Blog"\npaths = ["/users"]\nqueries = ["user_management"]\n',
        files={"plugin.py": ROUTE.format(path="/users/me")},
        requires=["platform-core>=99"],
    )
    found = cli("modules", "check", "--json", str(wheel(greedy, tmp_path / "greedy")))
    assert found.code == 1
    told = areas(found.json)
    assert "needs platform-core >=99, but" in told["versions", "blog"]


def test_a_set_can_be_checked_that_consists_of_what_is_named_only(cli: CommandLine, tmp_path: Path) -> None:
    source = PluginSource(
        name="blog", requires=["platform-core", USERS], files={"plugin.py": ROUTE.format(path="/blog")}
    )
    path = str(wheel(source, tmp_path))
    alone = cli("modules", "check", "--only", "--json", path)
    assert alone.code == 1
    assert "needs user_management, which is not loaded" in areas(alone.json)["versions", "blog"]
    pair = cli("modules", "check", "--only", "--json", path, "user_management")
    assert {module["name"] for module in pair.json["modules"]} == {"platform", "user_management", "blog"}


def test_a_folder_of_wheels_is_judged_as_one_set(cli: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    for name, path in (("blog", "/blog"), ("wiki", "/wiki")):
        wheel(PluginSource(name=name, files={"plugin.py": ROUTE.format(path=path)}), folder)
    found = cli("modules", "check", "--only", "--json", str(folder))
    assert {module["name"] for module in found.json["modules"]} == {"platform", "blog", "wiki"}
    wheel(PluginSource(name="blog", version="2.0.0"), tmp_path / "other").rename(
        folder / "blog-2.0.0-py3-none-any.whl"
    )
    assert "has blog-0.1.0-py3-none-any.whl and blog-2.0.0-py3-none-any.whl" in (
        cli("modules", "check", str(folder)).err
    )
    (tmp_path / "empty").mkdir()
    assert "is neither a wheel nor a pyproject.toml" in cli("modules", "check", str(tmp_path / "empty")).err


def test_what_is_no_module_is_refused_in_one_sentence(cli: CommandLine, tmp_path: Path) -> None:
    missing = cli("modules", "check", "nowhere.whl")
    assert (missing.code, missing.err) == (1, "Error: There is no file nowhere.whl.\n")
    broken = tmp_path / "broken.whl"
    broken.write_bytes(b"no zip file")
    assert "Is it a wheel, and is it whole?" in cli("modules", "check", str(broken)).err


def test_the_database_tells_what_is_pending_and_whose_name_is_taken(
    cli: CommandLine, tmp_path: Path, fresh_database_url: str
) -> None:
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA blog")
    source = PluginSource(name="blog", files={"plugin.py": ""})
    with plugins_installed(source, into=tmp_path / "p") as paths:
        outcome = cli(
            "modules",
            "check",
            "--json",
            env={
                "PYTHONPATH": ":".join(map(str, paths)),
                "DATABASE_URL": fresh_database_url,
                "PLATFORM_ENV": "development",
            },
        )
    told = areas(outcome.json)
    assert outcome.json["asked_database"] is True
    assert "pending: courses_0001" in told["database", "courses"]
    assert "the schema blog is in the database already" in told["names", "blog"]
    assert [problem["plugin"] for problem in outcome.json["problems"]] == ["blog"]
