"""Projects to try things with; the seed goes through a command, and changes nothing when it runs again."""

from __future__ import annotations

from decimal import Decimal
from typing import Final
from uuid import UUID

from platform_core.declarations import Seed, Tier
from platform_core.domain import Money
from platform_core.ports import Execute
from project_management.application.demo import EnsureProject, PlannedTask
from project_management.contracts import Role
from user_management import UserDirectory


async def make_projects(execute: Execute, directory: UserDirectory) -> None:
    """The people that user management invents for development work on two projects together."""
    people = await directory.find_by_usernames(["anna", "ben", "clara", "david", "admin"])
    ids = {username: person.id for username, person in people.items()}
    if not {"anna", "ben", "clara", "david"} <= ids.keys():
        return
    anna, ben, clara, david = (ids[name] for name in ("anna", "ben", "clara", "david"))
    visitors: dict[UUID, Role] = {ids["admin"]: "viewer"} if "admin" in ids else {}
    await execute(
        EnsureProject(
            owner_id=anna,
            name="New website",
            description="The old one is from 2009, and looks it.",
            budget=Money(Decimal(12_000), "EUR"),
            members={ben: "manager", clara: "member", david: "viewer", **visitors},
            tasks=(
                PlannedTask(
                    title="Ask visitors what they look for",
                    status="done",
                    assignee_id=clara,
                    estimated_minutes=600,
                    spent_minutes=720,
                    remark="Twelve answers so far, most of them about opening hours.",
                ),
                PlannedTask(title="Draw the first pages", status="done", assignee_id=ben, spent_minutes=900),
                PlannedTask(
                    title="Write the texts",
                    status="in_progress",
                    priority="high",
                    assignee_id=clara,
                    due_in_days=7,
                    estimated_minutes=1200,
                    spent_minutes=300,
                ),
                PlannedTask(
                    title="Build the search",
                    status="review",
                    assignee_id=ben,
                    due_in_days=3,
                    spent_minutes=540,
                    remark="@david, does it find what you looked for? @ben, then it can go online.",
                    mentioned_ids=(david, ben),
                ),
                PlannedTask(title="Move the old articles", assignee_id=anna, due_in_days=21),
                PlannedTask(title="Choose a host", priority="urgent", due_in_days=-1),
                PlannedTask(title="Print flyers", status="cancelled", priority="low"),
            ),
            milestones={"First pages online": 14, "Old website switched off": 45},
            expenses={
                "Photographs": Money(Decimal("1450.00"), "EUR"),
                "Fonts": Money(Decimal("199.90"), "EUR"),
            },
        )
    )
    await execute(
        EnsureProject(
            owner_id=ben,
            name="Summer party",
            budget=Money(Decimal(2_500), "EUR"),
            members={anna: "member", clara: "manager", **visitors},
            tasks=(
                PlannedTask(title="Rent a tent", status="in_progress", assignee_id=clara, due_in_days=10),
                PlannedTask(title="Invite the neighbours", assignee_id=anna, due_in_days=20),
                PlannedTask(
                    title="Find a band",
                    priority="high",
                    remark="@anna, was your cousin's band free in May?",
                    mentioned_ids=(anna,),
                ),
            ),
            milestones={"Summer party": 40},
            expenses={"Deposit for the tent": Money(Decimal(300), "EUR")},
        )
    )


SEEDS: Final = (Seed(name="projects", tier=Tier.DEVELOPMENT, run=make_projects),)
