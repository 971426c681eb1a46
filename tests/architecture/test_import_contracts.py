"""
The import contracts hold, and a module that breaks one is found, with the import that does it.

Import-linter reads source only, so the broken modules of these tests are folders of text; nothing of them is executed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SOUND = {
    "__init__": "from intruder.contracts import Promise\n\n__all__ = ['Promise']\n",
    "contracts": "from platform_core.domain import Event\n\nclass Promise(Event): ...\n",
    "settings": "import pydantic\n",
    "domain": "from intruder.contracts import Promise\nfrom platform_core.errors import DomainError\n",
    "application": "from intruder import domain, settings\nfrom platform_core.ports import Clock\n"
    "from user_management import UserDirectory\n",
    "infrastructure": "import sqlalchemy\nfrom intruder import application\nfrom platform_core.db import Reads\n",
    "presentation": "import fastapi\nfrom intruder import application\nfrom platform_core.http import Router\n",
    "plugin": "from intruder import infrastructure, presentation\nfrom platform_core import hookimpl\n",
}
"""A module as it should be, reduced to its imports."""


@dataclass(frozen=True)
class Breach:
    """
    One forbidden import.

    Attributes:
        room: where it stands; made if the sound module has no such room.
        line: the import.
        contracts: those that are broken by it, and no others.
        told: what the report says of it.
    """

    room: str
    line: str
    contracts: set[str]
    told: str


VENDORS = "intruder: rules and use cases know no vendor"
LAYERS = "intruder: imports go down only"

BREACHES = {
    "a neighbour's tables": Breach(
        "infrastructure",
        "from user_management.infrastructure.tables import users",
        {"user_management: private rooms"},
        "intruder.infrastructure -> user_management.infrastructure.tables",
    ),
    "a neighbour's use cases": Breach(
        "application",
        "from user_management.application import RegisterUser",
        {"user_management: private rooms"},
        "Others import from the facade: `from user_management import …`.",
    ),
    "a vendor in the domain": Breach(
        "domain", "import sqlalchemy", {VENDORS}, "intruder.domain is not allowed to import sqlalchemy"
    ),
    "a vendor in the domain, two modules away": Breach(
        "settings", "import sqlalchemy", {VENDORS}, "intruder.application -> intruder.settings"
    ),
    "a vendor in a use case, inside a function": Breach(
        "application",
        "def use():\n    import redis",
        {VENDORS},
        "intruder.application is not allowed to import redis",
    ),
    "the file system in the domain": Breach(
        "domain",
        "import os",
        {"intruder: the domain stays true without a computer"},
        "intruder.domain is not allowed to import os",
    ),
    "upwards": Breach(
        "contracts",
        "from intruder.domain import Thing",
        {LAYERS, "No cycles between siblings"},
        "intruder.contracts is not allowed to import intruder.domain",
    ),
    "the kernel's database room in a use case": Breach(
        "application",
        "from platform_core.db import Reads",
        {VENDORS, "intruder.application: sees domain, errors, money, ports, security of the kernel"},
        "intruder.application -> platform_core.db",
    ),
    "the kernel's engine room": Breach(
        "infrastructure",
        "from platform_core._uow import SqlUnitOfWork",
        {"intruder: leaves the kernel's engine room alone"},
        "intruder.infrastructure -> platform_core._uow",
    ),
    "more than promises in the facade": Breach(
        "__init__",
        "from intruder.settings import Settings",
        {"intruder: the facade re-exports contracts and nothing else"},
        "intruder -> intruder.settings",
    ),
    "a room for everything": Breach("helpers", "import this", {LAYERS}, "there is no room for helpers"),
}


def lint(*arguments: str, path: Path | None = None) -> tuple[int, dict[str, bool], str]:
    """Run the tool; return its exit code, contract → whether it is kept, and everything that it wrote."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "import_contracts.py"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    verdicts = re.findall(r"^(\S.*) (KEPT|BROKEN)$", done.stdout, re.MULTILINE)
    assert verdicts, done.stdout + done.stderr
    return done.returncode, {name: verdict == "KEPT" for name, verdict in verdicts}, done.stdout


def broken(contracts: dict[str, bool]) -> set[str]:
    return {name for name, is_kept in contracts.items() if not is_kept}


def write(folder: Path, rooms: dict[str, str]) -> None:
    (folder / "intruder").mkdir()
    for room, text in rooms.items():
        (folder / "intruder" / f"{room}.py").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def before() -> set[str]:
    """Contracts that are broken without the intruder: none, or the first test of this file says which."""
    return broken(lint()[1])


def test_every_contract_is_kept() -> None:
    code, contracts, output = lint()
    assert code == 0, output
    assert broken(contracts) == set()


def test_a_module_as_it_should_be_keeps_every_contract(tmp_path: Path, before: set[str]) -> None:
    write(tmp_path, SOUND)
    contracts = lint("--plugin", "intruder", path=tmp_path)[1]
    assert len([name for name in contracts if name.startswith("intruder")]) == 9
    assert broken(contracts) == before


@pytest.mark.parametrize("what", BREACHES)
def test_a_forbidden_import_is_reported_with_its_place(tmp_path: Path, before: set[str], what: str) -> None:
    breach = BREACHES[what]
    write(tmp_path, {**SOUND, breach.room: f"{SOUND.get(breach.room, '')}{breach.line}\n"})
    code, contracts, output = lint("--plugin", "intruder", path=tmp_path)
    assert code == 1
    assert broken(contracts) - before == breach.contracts - before
    assert " ".join(breach.told.split()) in " ".join(output.split())


def test_the_sample_for_module_authors_keeps_every_contract(before: set[str]) -> None:
    contracts = lint("--plugin", "bookmarks", path=ROOT / "tests" / "samples" / "bookmarks" / "src")[1]
    assert any(name.startswith("bookmarks") for name in contracts)
    assert broken(contracts) == before
