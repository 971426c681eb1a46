"""`platform modules freeze` and `sync`: a set is what it was, or it is refused before anything of it is imported."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from platform_core import __version__
from platform_core._environment import chosen_modules
from platform_core._modules import candidates, frozen
from platform_core._pins import Pin, digest_of, narrowed, pins
from platform_core.errors import InvalidSettings, OperationError
from platform_core.settings import read_settings
from platform_core.testing import PluginSource, plugins_installed

if TYPE_CHECKING:
    from conftest import CommandLine

MARKED = "from pathlib import Path\nPath({marker!r}).touch()\n"


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """Is there as soon as anybody has imported the module."""
    return tmp_path / "imported"


@pytest.mark.parametrize("boot", ["optional", "required"])
def test_another_version_or_another_file_is_refused_and_never_imported(
    cli: CommandLine, tmp_path: Path, marker: Path, boot: str
) -> None:
    source = PluginSource(
        name="blog",
        version="0.2.0",
        manifest=f'title = "Blog"\nboot = "{boot}"\n',
        files={"plugin.py": MARKED.format(marker=str(marker))},
    )
    with plugins_installed(source, into=tmp_path / "p") as paths:
        path = {"PYTHONPATH": ":".join(map(str, paths))}
        frozen = cli("modules", "freeze", env={**path, "PLATFORM_MODULES": "blog"}).out.splitlines()
        assert [line.partition("@")[0] for line in frozen] == ["platform==0.1.0", "blog==0.2.0"]
        assert not marker.exists()  # freezing imports nothing
        pinned = tmp_path / "modules.txt"

        def check(entries: list[str]) -> tuple[int, str]:
            pinned.write_text("# a frozen set\n" + "\n".join(entries) + "\n")
            outcome = cli("modules", "check", env={**path, "PLATFORM_MODULES_FILE": str(pinned)})
            return outcome.code, outcome.out

        other = [frozen[0], frozen[1].replace("0.2.0", "0.1.0")]
        code, told = check(other)
        assert code == 1
        assert "blog: PLATFORM_MODULES asks for version 0.1.0, but 0.2.0 is installed" in told
        (tmp_path / "p" / "blog" / "extra.py").write_text("")
        code, told = check(frozen)
        assert code == 1
        assert "blog: its files are not those of 0.2.0 that PLATFORM_MODULES asks for" in told
        assert not marker.exists()
        (tmp_path / "p" / "blog" / "extra.py").unlink()
        assert check(frozen)[0] == 0
        assert marker.exists()  # so the trap works


def test_a_kernel_that_is_not_the_frozen_one_is_refused(cli: CommandLine) -> None:
    outcome = cli("modules", "check", env={"PLATFORM_MODULES": "platform==9.9.9,user_management"})
    assert outcome.code == 1
    assert "platform: PLATFORM_MODULES asks for version 9.9.9, but 0.1.0 is installed" in outcome.out


@pytest.mark.parametrize("text", ["", "# nothing was chosen\n"])
@pytest.mark.parametrize("command", ["list", "freeze", "check"])
def test_a_file_that_names_no_module_does_not_mean_every_module(
    cli: CommandLine, tmp_path: Path, command: str, text: str
) -> None:
    file = tmp_path / "modules.txt"
    file.write_text(text)
    outcome = cli("modules", command, env={"PLATFORM_MODULES_FILE": str(file)})
    assert outcome.code == 1
    assert f"{file} names nothing" in outcome.out + outcome.err


@pytest.mark.usefixtures("nothing_set")
def test_a_set_that_is_frozen_into_the_file_that_it_comes_from_is_told_what_emptied_it(
    tmp_path: Path,
) -> None:
    file = tmp_path / "modules.txt"
    with file.open("w") as emptied:  # as `> modules.txt` does
        done = subprocess.run(
            [sys.executable, "-m", "platform_core", "modules", "freeze"],
            env={**os.environ, "PLATFORM_MODULES_FILE": str(file)},
            stdout=emptied,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "because this command prints into it: the shell has emptied it" in done.stderr
    assert f"> {file}.new && mv {file}.new {file}" in done.stderr


def test_names_choose_among_a_frozen_set_and_add_nothing_to_it(tmp_path: Path) -> None:
    file = tmp_path / "modules.txt"
    file.write_text("platform==0.1.0\nblog==0.2.0\nwiki==1.0\n")
    image = {"PLATFORM_MODULES_FILE": str(file), "PLATFORM_MODULES": "blog"}
    needed = {"DATABASE_URL": "postgresql:///", "REDIS_URL": "redis://", "PLATFORM_SECRET_KEY": "-" * 32}
    assert (
        chosen_modules(image)
        == read_settings({**needed, **image}).modules
        == ("platform==0.1.0", "blog==0.2.0")
    )
    more = {**image, "PLATFORM_MODULES": "blog,late"}
    told = "PLATFORM_MODULES names late, and PLATFORM_MODULES_FILE does not"
    with pytest.raises(OperationError, match=told):
        chosen_modules(more)
    with pytest.raises(InvalidSettings, match=told):
        read_settings({**needed, **more})


def test_what_is_chosen_of_a_frozen_set_keeps_its_pins_and_the_kernels() -> None:
    frozen = ("platform==0.1.0", "blog==0.2.0", "wiki==1.0")
    assert narrowed(frozen, ()) == frozen
    assert narrowed(frozen, ("wiki",)) == ("platform==0.1.0", "wiki==1.0")
    assert narrowed(frozen, ("platform", "blog==0.2.0")) == ("platform==0.1.0", "blog==0.2.0")
    assert narrowed(("blog==0.2.0",), ("platform",)) == ("platform",)  # none, and not: everything
    for stranger in ("late", "blog==0.3.0"):
        with pytest.raises(ValueError, match=f"names {stranger}"):
            narrowed(frozen, (stranger,))


def test_other_settings_that_are_wrong_do_not_have_more_than_the_frozen_set_imported(
    cli: CommandLine, tmp_path: Path, marker: Path
) -> None:
    source = PluginSource(
        name="blog", manifest='title = "B"\n', files={"plugin.py": MARKED.format(marker=str(marker))}
    )
    file = tmp_path / "modules.txt"
    file.write_text("user_management\n")
    with plugins_installed(source, into=tmp_path / "p") as paths:
        path = {"PYTHONPATH": ":".join(map(str, paths)), "PLATFORM_ENV": "test"}
        outcome = cli("serve", env={**path, "PLATFORM_MODULES_FILE": str(file)})
        assert outcome.code == 1
        assert "DATABASE_URL" in outcome.out + outcome.err
        assert not marker.exists()
        cli("serve", env={**path, "PLATFORM_MODULES": "blog"})
        assert marker.exists()  # so the trap works


def test_sync_compares_an_environment_with_a_frozen_set(cli: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "modules.txt"
    file.write_text(cli("modules", "freeze").out)
    same = cli("modules", "sync", str(file), "--check", "--json")
    assert (same.code, same.json) == (0, {"ok": True, "differences": []})
    file.write_text(file.read_text() + "nowhere==1.0\n" + "courses==9.9\n")
    differs = cli("modules", "sync", str(file), "--check")
    assert differs.code == 1
    assert "nowhere: it is not installed" in differs.out
    assert "courses: PLATFORM_MODULES asks for version 9.9, but 0.1.0 is installed" in differs.out
    file.write_text("courses\n")
    assert "courses has no version" in cli("modules", "sync", str(file)).err


def test_the_kernel_that_is_compared_is_the_installed_one_not_the_one_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert frozen.differences([Pin("platform", __version__)]) == []
    installed = tmp_path / "platform_core-9.9.9.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: platform-core\nVersion: 9.9.9\n")
    monkeypatch.syspath_prepend(tmp_path)  # as `sync` has just had it done
    assert frozen.differences([Pin("platform", "9.9.9")]) == []
    assert "but 9.9.9 is installed" in str(*frozen.differences([Pin("platform", __version__)]))


def test_an_installer_that_hangs_is_given_up_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(candidates, "installer", lambda: waits)
    with pytest.raises(OperationError, match=r"The set could not .* after 0\.1 s\. Is the package index"):
        candidates.have_installed(["blog"], seconds=0.1, failure="The set could not be installed")


def test_a_digest_does_not_depend_on_caches_or_on_where_a_package_lies(tmp_path: Path) -> None:
    for place in ("here", "there"):
        (tmp_path / place / "blog" / "__pycache__").mkdir(parents=True)
        (tmp_path / place / "blog" / "plugin.py").write_text("x = 1\n")
    (tmp_path / "there" / "blog" / "__pycache__" / "plugin.cpython-311.pyc").write_bytes(b"cache")
    here, there = (digest_of(tmp_path / place / "blog") for place in ("here", "there"))
    assert here == there
    (tmp_path / "here" / "blog" / "plugin.toml").write_text("")
    assert digest_of(tmp_path / "here" / "blog") != here


def test_compiled_code_that_nobody_pinned_is_never_run(
    cli: CommandLine, tmp_path: Path, marker: Path
) -> None:
    source = PluginSource(name="blog", manifest='title = "Blog"\n', files={"plugin.py": "x = 1\n"})
    with plugins_installed(source, into=tmp_path / "p") as paths:
        environment = {"PYTHONPATH": ":".join(map(str, paths)), "PLATFORM_MODULES": "blog"}
        frozen = ",".join(cli("modules", "freeze", env=environment).out.split())
        plugin, evil = tmp_path / "p" / "blog" / "plugin.py", tmp_path / "evil.py"
        evil.write_text(MARKED.format(marker=str(marker)))
        # unchecked: Python takes it for the source's without looking (PEP 552)
        unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
        cache = importlib.util.cache_from_source(str(plugin))
        py_compile.compile(str(evil), cache, doraise=True, invalidation_mode=unchecked)
        pinned = {**environment, "PLATFORM_MODULES": frozen}
        assert cli("modules", "check", env=pinned).code == 0
        assert not marker.exists()
        assert cli("modules", "check", env=environment).code == 0
        assert marker.exists()  # so the trap works, where nothing is pinned
        shutil.copy(cache, plugin.with_name("hidden.pyc"))  # Python would import it like a source
        assert "its files are not those of" in cli("modules", "check", env=pinned).out


def test_an_entry_is_a_name_a_version_or_a_version_and_its_files() -> None:
    digest = "a" * 64
    text = f"blog==0.2.0@sha256:{digest}"
    assert pins(["blog", "wiki==1.0", text])["blog"] == Pin("blog", "0.2.0", digest)
    assert str(Pin.parse(text)) == text
    assert Pin.parse("wiki==1.0") == Pin("wiki", "1.0")
    assert Pin.parse("blog @ 3").version is None
