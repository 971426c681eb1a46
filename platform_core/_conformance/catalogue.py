"""Every check, in the order in which they are made: the one place that says what each grade takes."""

from __future__ import annotations

from typing import Final

from platform_core._conformance.grades import Check, Grade

CHECKS: Final = (
    Check(
        "starts",
        Grade.BRONZE,
        "it starts beside the modules that it requires, with every other one out of reach",
        "what starts only on its author's machine stops at the deployer's",
    ),
    Check(
        "quiet_import",
        Grade.BRONZE,
        "importing it does nothing: no file, socket, process, thread or print, and nobody's settings change",
        "every command imports every module, `platform --help` included, and who only looks must change nothing",
        needs_start=False,
    ),
    Check(
        "boundaries",
        Grade.BRONZE,
        "its imports go down its layers, and end at others' facades and at what it requires",
        "what is not published may change with any release, and takes down whoever used it",
        needs_start=False,
    ),
    Check(
        "migrations",
        Grade.BRONZE,
        "its revisions go up, down and up again, leave no difference to its models, and stop no database in use",
        "the tables outlive the code: a revision that cannot be taken back, or locks a table, is an outage",
        seconds=600,
    ),
    Check(
        "residue",
        Grade.BRONZE,
        "`remove --purge` leaves the database's catalogue and the platform's registries as if it had never been there",
        "who tries a module must be able to take it out again",
        seconds=600,
    ),
    Check(
        "subsets",
        Grade.SILVER,
        "it starts with each optional neighbour missing, and with all of them there",
        "a neighbour that is optional on paper and imported at the top of a file is required",
        seconds=900,
    ),
    Check(
        "authorization",
        Grade.SILVER,
        "every route that is not public refuses visitors, and every permission refuses who does not have it",
        "one forgotten route is everybody's data",
        seconds=600,
        people=True,
    ),
    Check(
        "problems",
        Grade.SILVER,
        "no request is answered by 5xx, every refusal is a described problem, and no connection is kept",
        "what fails on a strange request fails on purpose one day",
        seconds=900,
        people=True,
    ),
    Check(
        "kills",
        Grade.SILVER,
        "a worker killed inside of any of its event handlers leaves nothing behind, and a repetition no second effect",
        "processes die; what was half done would stay half done, or be done twice",
        seconds=900,
    ),
    Check(
        "surface",
        Grade.SILVER,
        "what its surface.json promises is still there, if it has one",
        "who builds on it installs the next release without reading its code",
        needs_start=False,
    ),
    Check(
        "purity",
        Grade.GOLD,
        "its rules and use cases import no framework, and every line has its room",
        "rules that need no computer can be tested in milliseconds and read by who knows the business",
        needs_start=False,
    ),
    Check(
        "docs",
        Grade.GOLD,
        "README, routes, permissions, events and settings say what they are for, in words",
        "deployers and neighbours read those, not the code",
    ),
    Check(
        "own_tests",
        Grade.GOLD,
        "its own tests pass here",
        "only they know what it is meant to do",
        seconds=1600,
    ),
)
"""Grade by grade, the quickest first within each."""
