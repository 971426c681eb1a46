"""
Grades: how they are reckoned, shown and drawn, and one module that is found out.

The whole of it, with servers and killed workers, takes minutes and is a session of its own: `nox -s conformance`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID
from xml.etree import ElementTree

import psycopg
import pytest
from click import unstyle
from packaging.version import Version
from psycopg.sql import SQL, Identifier

from platform_core import __version__
from platform_core._conformance import badge, own_tests, report, residue, surface
from platform_core._conformance.alone import _function
from platform_core._conformance.catalogue import CHECKS
from platform_core._conformance.environment import Bench, _variables, prepared
from platform_core._conformance.events import Unimaginable, imagined
from platform_core._conformance.grades import Finding, Grade, NotRun, Outcome, Report, remark
from platform_core._conformance.ground import Ground
from platform_core._conformance.kills import Attempt, concluded
from platform_core._conformance.runner import made
from platform_core._pools import libpq_url
from platform_core.domain import Event, new_id
from platform_core.errors import OperationError
from platform_core.testing import PlatformFactory

if TYPE_CHECKING:
    from conftest import CommandLine

SAMPLES = Path(__file__).parents[1] / "samples"
PROBLEM = Finding("blog/domain.py:3", "it imports sqlalchemy", "declare a Protocol")


def graded(findings: Mapping[str, Finding] = {}, not_run: tuple[str, ...] = ()) -> Report:
    outcomes = [
        Outcome(
            check,
            [findings[check.name]] if check.name in findings else [],
            "nobody knows" if check.name in not_run else "",
        )
        for check in CHECKS
    ]
    return Report("blog", "1.0", __version__, ["user_management"], outcomes)


# ── reckoning ────────────────────────────────────────────────────────────────────────────────────


def test_a_grade_takes_its_own_checks_and_those_below() -> None:
    assert graded().grade is Grade.GOLD
    for check in CHECKS:
        assert graded({check.name: PROBLEM}).grade == check.grade - 1
    assert graded({"purity": PROBLEM, "starts": PROBLEM}).grade is Grade.NONE


def test_what_nobody_has_looked_at_has_not_passed_and_a_remark_costs_nothing() -> None:
    assert graded(not_run=("own_tests",)).grade is Grade.SILVER
    assert graded({"problems": remark("blog", "it has no routes")}).grade is Grade.GOLD


def test_some_checks_give_no_grade_and_still_pass_or_fail() -> None:
    part = [outcome for outcome in graded({"purity": PROBLEM}).outcomes if outcome.check.name != "starts"]
    some = Report("blog", "1.0", __version__, [], part, is_whole=False)
    assert not report.is_enough(some, Grade.BRONZE)
    assert report.as_json(some, Grade.BRONZE)["grade"] is None


def test_every_check_can_be_made_and_says_what_it_promises_and_why() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert {check.grade for check in CHECKS} == {Grade.BRONZE, Grade.SILVER, Grade.GOLD}
    assert [check.grade for check in CHECKS] == sorted(check.grade for check in CHECKS)
    for check in CHECKS:
        assert callable(_function(check.name))
        assert check.promise
        assert check.why


# ── showing ──────────────────────────────────────────────────────────────────────────────────────


def test_a_finding_is_shown_with_who_what_why_and_what_to_do() -> None:
    [outcome] = [one for one in graded({"purity": PROBLEM}).outcomes if one.check.name == "purity"]
    text = "\n".join(report.lines(outcome))
    for part in (
        "✗",
        "purity",
        "1 thing to mend",
        str(PROBLEM.who),
        PROBLEM.problem,
        PROBLEM.hint,
        outcome.check.why,
    ):
        assert part in text


def test_the_verdict_names_what_the_next_grade_takes() -> None:
    told = unstyle("\n".join(report.verdict(graded({"kills": PROBLEM, "docs": PROBLEM}), Grade.GOLD)))
    assert "blog 1.0: BRONZE" in told
    assert "For gold: kills, docs." in told
    assert "below gold" in told


def test_json_has_every_check_with_its_findings() -> None:
    said: dict[str, Any] = json.loads(json.dumps(report.as_json(graded({"docs": PROBLEM}), Grade.GOLD)))
    assert (said["grade"], said["ok"], said["at_least"]) == ("silver", False, "gold")
    [docs] = [check for check in said["checks"] if check["name"] == "docs"]
    assert docs["findings"] == [{"who": PROBLEM.who, "problem": PROBLEM.problem, "hint": PROBLEM.hint}]
    assert len(said["checks"]) == len(CHECKS)


@pytest.mark.parametrize("grade", Grade)
def test_a_badge_is_one_picture_that_says_its_grade_without_anything_from_elsewhere(grade: Grade) -> None:
    text = badge.svg(grade, "0.1 <beta>")
    root = ElementTree.fromstring(text)  # noqa: S314  # our own picture
    assert root.attrib["aria-label"] == f"platform-core 0.1 <beta>: {grade.label}"
    for part in ("href", "<script", "@import", "<image"):
        assert part not in text


# ── events ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class Sold(Event):
    """Somebody has bought something."""

    wire_name: ClassVar[str] = "shop.sold"

    user_id: UUID
    basket_id: UUID
    email: str
    at: datetime
    notes: list[str]
    price: int | None
    left: int = 3


def test_an_event_is_invented_about_what_is_there() -> None:
    somebody = new_id()
    event = imagined(Sold, {"user_id": str(somebody)})
    assert (event.user_id, event.email, event.notes, event.left) == (somebody, "somebody@example.com", [], 3)


def test_an_event_that_nobody_can_invent_says_which_field() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Odd(Event):
        wire_name: ClassVar[str] = "shop.odd"
        thing: Version

    with pytest.raises(Unimaginable, match="thing is a"):
        imagined(Odd, {})


def test_handlers_of_which_none_could_be_tried_have_not_passed() -> None:
    untried, tried = Attempt("blog.a", not_tried="it refused"), Attempt("blog.b", [PROBLEM])
    assert list(concluded([untried, tried])) == [remark("blog.a", "it refused"), PROBLEM]
    told = concluded([untried, untried])
    assert [next(told), next(told)] == [remark("blog.a", "it refused")] * 2
    with pytest.raises(NotRun, match="none of its handlers"):
        next(told)


# ── one module, apart from everything ────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_spy_is_found_out_and_nothing_of_it_stays() -> None:
    """What is read and imported only, which needs no servers."""
    before = sorted(SAMPLES.joinpath("spy").rglob("*"))
    command = [
        sys.executable,
        "-m",
        "platform_core",
        "modules",
        "check",
        "--conformance",
        str(SAMPLES / "spy"),
    ]
    parts = ["--part", "quiet_import", "--part", "boundaries", "--part", "surface", "--json"]
    done = subprocess.run([*command, *parts], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    assert (said["grade"], said["ok"], said["beside"]) == (None, False, ["user_management"])
    told = {
        check["name"]: " ".join(f"{one['who']}: {one['problem']}" for one in check["findings"])
        for check in said["checks"]
    }
    assert "an internal of user_management" in told["boundaries"]
    assert "spy/infrastructure.py:" in told["boundaries"]
    assert "platform_core._pools, the kernel's own" in told["boundaries"]
    assert "spy, http: GET /api/v1/spy/promised is gone, or no longer stable" in told["surface"]
    for effect in ("it writes the file spy.log", "it prints: the spy is here", "it changes running threads"):
        assert effect in told["quiet_import"]
    assert sorted(SAMPLES.joinpath("spy").rglob("*")) == before


@pytest.mark.slow
def test_a_grading_that_is_told_to_end_ends_itself_and_puts_everything_away(tmp_path: Path) -> None:
    command = ["modules", "check", "--conformance", str(SAMPLES / "bookmarks"), "--part", "quiet_import"]
    places = tmp_path / "temporary"
    places.mkdir()
    grading = subprocess.Popen(
        [sys.executable, "-m", "platform_core", *command],
        env={**os.environ, "TMPDIR": str(places)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not list(places.glob("platform-conformance-*")) and grading.poll() is None:
            time.sleep(0.01)
        grading.terminate()
        assert grading.wait(60) == 128 + signal.SIGTERM
    finally:
        grading.kill()
    assert list(places.glob("platform-conformance-*")) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--conformance", "--only", "."], "--only does not go with --conformance"),
        (["--conformance", "--part", "docs", "--badge", "b.svg", "."], "--badge shows the grade"),
        (["--conformance", "--badge", "nowhere/b.svg", "."], "there is no folder nowhere"),
        (["--conformance", "--part", "magic", "."], "There is no check magic. There are: starts, "),
        (["--at-least", "gold"], "--at-least, --badge and --part go with --conformance"),
    ],
)
def test_what_cannot_come_to_anything_is_refused_before_it_takes_minutes(
    cli: CommandLine, options: list[str], said: str
) -> None:
    outcome = cli("modules", "check", *options)
    assert outcome.code == 2
    assert said in outcome.err
    assert "platform_core._conformance" not in outcome.err


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A module that is laid out, and can be written anew."""
    project = tmp_path_factory.mktemp("rogue")
    package = project / "src" / "rogue"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "plugin.toml").write_text('title = "Rogue"\n')
    (package / "plugin.py").touch()
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "platform-plugin-rogue"\nversion = "1"\ndependencies = ["platform-core"]\n'
        '[project.entry-points."platform_core.plugins"]\nrogue = "rogue.plugin"\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["src/rogue"]\n'
    )
    with prepared(project) as bench:
        yield bench


@pytest.mark.parametrize(
    ("code", "seconds", "said"),
    [
        ("import os\nos._exit(3)\n", 150, "it ended its own process (exit code 3)"),
        ("import time\ntime.sleep(600)\n", 2, "it was not through after 2 s: it hangs"),
        ("raise SystemExit(3)\n", 150, "it cannot be imported: SystemExit: 3"),
    ],
    ids=["exits", "hangs", "raises"],
)
def test_a_module_that_takes_its_process_along_fails_that_check_and_nothing_else(
    bench: Bench, code: str, seconds: float, said: str
) -> None:
    (bench.subject.package / "__init__.py").write_text(code)
    findings, _ = made("quiet_import", bench.subject, bench, {}, seconds)
    assert said in " ".join(finding.problem for finding in findings)


def test_tests_that_hang_are_told_with_what_to_do(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench.subject.source is not None
    (bench.subject.source / "test_waits.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(own_tests, "_SECONDS", 0.5)
    [finding] = own_tests.check(bench.subject, Ground(bench.subject))
    assert finding.problem == "its tests were not through after 0.5 s"
    assert "find the one that waits for ever" in finding.hint


def test_a_surface_is_found_beside_what_a_module_prints(bench: Bench) -> None:
    assert bench.subject.source is not None
    empty: dict[str, Any] = {"versions": {}, "stable": {}, "provisional": {}, "deprecated": {}}
    (bench.subject.source / surface.FILE).write_text(json.dumps(empty))
    (bench.subject.package / "__init__.py").write_text("print({'noise': 1}, '{', end='')\n")
    findings, _ = made("surface", bench.subject, bench, {}, 150)
    assert [finding.problem for finding in findings] == ["it is not what the code says"]


def test_a_surface_that_hangs_is_told_with_what_to_do(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench.subject.source is not None
    (bench.subject.source / surface.FILE).write_text("{}")
    monkeypatch.setattr(surface, "_SECONDS", 0.01)
    [finding] = surface.check(bench.subject, Ground(bench.subject))
    assert finding.problem == "its surface was not read after 0.01 s: it hangs"
    assert "find what waits for ever" in finding.hint


def test_servers_that_root_starts_in_there_find_their_data_in_reach(bench: Bench) -> None:
    """Out of reach they would keep them below /var/lib, where nobody removes them."""
    temporary = Path(bench.variables["TMPDIR"])
    assert bench.folder in temporary.parents
    assert [stat.S_IMODE(place.stat().st_mode) for place in (bench.folder, temporary)] == [0o711, 0o711]


async def test_a_purge_that_hangs_is_told_with_what_to_do(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residue, "_SECONDS", 0.01)
    finding = await residue.purged(bench.subject, {})
    assert finding is not None
    assert finding.problem == "taking it out was not through after 0.01 s"
    assert "find what it waits for" in finding.hint


async def test_in_which_order_rights_were_granted_is_no_residue(platform: PlatformFactory) -> None:
    async with platform([]) as p:
        found = []
        for roles in (("pg_monitor", "pg_read_all_stats"), ("pg_read_all_stats", "pg_monitor")):
            with psycopg.connect(libpq_url(p.database_url), autocommit=True) as connection:
                connection.execute("REVOKE ALL ON platform.sagas FROM pg_monitor, pg_read_all_stats")
                for role in map(Identifier, roles):
                    connection.execute(SQL("GRANT SELECT ON platform.sagas TO {}").format(role))
            found.append(residue.read_catalogue(p.database_url))
        assert "pg_monitor=r" in found[0]["relation platform.sagas"]
        assert found[0] == found[1]


def test_programs_beside_the_interpreter_are_found_where_its_environment_is_not_activated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    assert shutil.which("squawk", path=_variables(tmp_path)["PATH"])


def test_of_the_kernel_only_what_is_listed_may_be_imported_whatever_its_name(bench: Bench) -> None:
    (bench.subject.package / "plugin.py").write_text(
        "import platform_core.app\nimport platform_core.http\nimport platform_core.http.routing\n"
        "import platform_core.tracing\nfrom platform_core import hookimpl, storage\n"
    )
    findings, _ = made("boundaries", bench.subject, bench, {}, 150)
    assert [(finding.who, finding.problem) for finding in findings] == [
        ("rogue/plugin.py:1", "it imports platform_core.app, the kernel's own"),
        ("rogue/plugin.py:3", "it imports platform_core.http.routing, the kernel's own"),
        ("rogue/plugin.py:5", "it imports platform_core.storage, the kernel's own"),
    ]


def test_what_is_no_module_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="has no pyproject"), prepared(tmp_path):
        pass
    with pytest.raises(OperationError, match="There is nothing at"), prepared(tmp_path / "nowhere.whl"):
        pass
