"""`platform modules check`: the whole set before a start, with what is only being considered laid over it."""

from __future__ import annotations

import os
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from platform_core.cli._output import AsJson, note, print_json
from platform_core.cli._session import assembled_environment, read_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from platform_core._modules.findings import Finding
    from platform_core._modules.preflight import Preflight


class AtLeast(StrEnum):
    """The grades that can be asked for."""

    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"


def check(
    candidates: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODULE...]",
            help="Considered too: wheels, folders of them, projects, names, or requirements as pip takes them.",
        ),
    ] = None,
    only: Annotated[
        bool,
        typer.Option("--only", help="Check a set of just these, instead of these and what is installed."),
    ] = False,
    conformance: Annotated[
        bool,
        typer.Option(
            "--conformance", help="Grade one wheel or project folder by running it, apart from all else."
        ),
    ] = False,
    at_least: Annotated[
        AtLeast | None,
        typer.Option(help="With --conformance: exit code 1 below this grade.", show_default="bronze"),
    ] = None,
    badge: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.svg", help="With --conformance: write the grade as a picture.", dir_okay=False
        ),
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option("--part", metavar="CHECK", help="With --conformance: only this check; may be repeated."),
    ] = None,
    json: AsJson = False,
) -> None:
    """
    Check a set of modules as a start would, without starting it; exit code 1 with every reason.

    Versions, Python packages, interactions, names that collide, hooks and routes, settings; and, if the database
    answers, what is pending there, which is told and no reason to fail. The modules' code is imported. What is only
    considered is looked at by a process of its own: nothing is installed and nothing stays.

    --conformance grades one module instead: bronze, silver or gold. It is laid into a temporary environment, and run on
    servers of its own through every check of docs/conformance.md.
    """
    if conformance:
        if only:
            raise typer.BadParameter(
                "--only does not go with --conformance, which grades one module by itself"
            )
        _grade(
            _options_of_grading(candidates or [], at_least or AtLeast.BRONZE, badge, part or [], json=json)
        )
    if at_least or badge or part:
        raise typer.BadParameter("--at-least, --badge and --part go with --conformance")
    if candidates:
        raise typer.Exit(_with_candidates(candidates, only=only, json=json))
    if only:
        raise typer.BadParameter("--only needs at least one module")
    from platform_core._modules.preflight import preflight

    found = preflight(read_environment(), assembled_environment)
    if json:
        print_json(_as_json(found))
    else:
        for line in _report(found):
            typer.echo(line)
    raise typer.Exit(1 if found.blocking else 0)


def _options_of_grading(
    paths: list[str], at_least: AtLeast, badge: Path | None, parts: list[str], *, json: bool
) -> list[str]:
    """Return what the grading is told; what cannot come to anything is refused before it takes minutes."""
    if len(paths) != 1:
        raise typer.BadParameter("--conformance takes one wheel, or one project's folder")
    if badge and parts:
        raise typer.BadParameter("--badge shows the grade, and there is none where --part leaves checks out")
    if badge and not badge.parent.is_dir():
        raise typer.BadParameter(f"--badge: there is no folder {badge.parent}; make it first")
    options = [*paths, "--at-least", at_least.value, *(["--badge", str(badge)] if badge else [])]
    options += [word for name in parts for word in ("--only", name)]
    return [*options, *(["--json"] if json else [])]


def _grade(options: list[str]) -> NoReturn:
    """Go on as the program that grades; it needs the test kit, which commands do without."""
    import importlib.util

    if missing := [name for name in ("pytest", "httpx2", "grimp") if importlib.util.find_spec(name) is None]:
        from platform_core.errors import OperationError

        raise OperationError(
            f"Grading runs the module, and {', '.join(missing)} is not installed here:"
            " pip install 'platform-core[conformance]'"
        )
    sys.stdout.flush()
    # not a child: Ctrl-C and SIGTERM are for who has something to put away, and nobody grades on unattended
    os.execv(sys.executable, [sys.executable, "-m", "platform_core._conformance", *options])  # noqa: S606  # ourselves


def _with_candidates(wanted: list[str], *, only: bool, json: bool) -> int:
    """Run the same check in a process that finds the candidates first."""
    from platform_core._environment import chosen_modules, environment
    from platform_core._modules.candidates import staged

    with staged(wanted) as candidates:
        source = environment()
        chosen = () if only else chosen_modules(read_environment())
        if chosen or only:
            source["PLATFORM_MODULES"] = ",".join(dict.fromkeys([*chosen, *candidates.names]))
            source["PLATFORM_MODULES_FILE"] = ""  # it has no candidates; what it pins is in the list
        before = source.get("PYTHONPATH")
        source["PYTHONPATH"] = os.pathsep.join(filter(None, [str(candidates.directory), before]))
        if candidates.told and not json:
            note(f"not installed, only considered: {', '.join(candidates.told)}")
        command = [sys.executable, "-m", "platform_core", "modules", "check", *(["--json"] if json else [])]
        return subprocess.run(command, env=source, check=False).returncode  # noqa: S603  # ourselves


def _as_json(found: Preflight) -> dict[str, object]:
    return {
        "ok": not found.blocking,
        "modules": [{"name": p.name, "version": p.version, "status": p.status} for p in found.modules],
        "problems": [_plain(finding) for finding in found.blocking],
        "remarks": [_plain(finding) for finding in found.remarks],
        "asked_database": found.asked_database,
    }


def _plain(finding: Finding) -> Mapping[str, str]:
    return {
        "plugin": finding.module,
        "area": finding.area,
        "problem": finding.problem,
        "hint": finding.hint,
    }


def _report(found: Preflight) -> Iterator[str]:
    """Yield lines for people: an area each, with what was found in it, and what it comes to."""
    from platform_core._modules.findings import IN_ORDER, Area

    for area, sound in IN_ORDER.items():
        findings = found.about(area)
        if any(finding.blocks for finding in findings):
            mark, said = typer.style("✗", fg="red"), ""
        elif findings:
            mark, said = typer.style("!", fg="yellow"), ""
        elif area is Area.DATABASE and not found.asked_database:
            mark, said = "-", _not_asked(found)
        else:
            mark, said = typer.style("✓", fg="green"), sound
        yield f"{mark} {typer.style(f'{area:<13}', bold=True)} {said}".rstrip()
        for finding in findings:
            yield f"    {_coloured(finding)}"
            if finding.hint:
                yield typer.style(f"      → {finding.hint}", dim=True)
    yield ""
    yield _summary(found)


def _not_asked(found: Preflight) -> str:
    if not found.modules:
        return "not asked, as the set cannot be put together"
    return "not asked, it does not answer; `platform db current` shows what is pending"


def _coloured(finding: Finding) -> str:
    return f"{typer.style(finding.module, fg='red' if finding.blocks else 'yellow')}: {finding.problem}"


def _summary(found: Preflight) -> str:
    count, blocking = len(found.modules), len(found.blocking)
    if not found.modules:
        return typer.style(f"This set does not start: {_counted(blocking, 'problem')}.", fg="red")
    if not blocking:
        todo = f"; {_counted(len(found.remarks), 'thing')} to know" if found.remarks else ""
        return f"{_counted(count, 'module')}, and all fit together{todo}."
    failed = sum(1 for module in found.modules if module.error)
    left_out = f"{failed} optional of them would be left out" if failed else "it would start, and not work"
    return f"{_counted(count, 'module')}: {_counted(blocking, 'problem')}; {left_out}."


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
