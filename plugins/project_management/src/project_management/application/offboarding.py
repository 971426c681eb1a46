"""What becomes of the projects of somebody whose account was deleted: a step of `user_management`'s offboarding."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from platform_core.domain import Command, Unfinished
from platform_core.ports import Clock, Outbox, SagaRun
from project_management.application.members import emit
from project_management.application.ports import MemberRepository, ProjectRepository
from project_management.contracts import MemberRemoved, MemberRoleChanged
from project_management.domain import OWNER, Membership, heir
from user_management import UserDirectory

BATCH_COUNT: Final = 25
"""Projects of one transaction: whoever works in one of them waits for so many at most."""


@dataclass(frozen=True, kw_only=True)
class LeaveProjects(Command[None]):
    """
    Let somebody who has gone out of their projects, and see to it that each still belongs to somebody.

    A batch at a time, whatever is left of it: those that they are out of are not found again.
    """

    user_id: UUID


async def leave_projects(
    command: LeaveProjects,
    projects: ProjectRepository,
    members: MemberRepository,
    directory: UserDirectory,
    outbox: Outbox,
    clock: Clock,
) -> Unfinished | None:
    """A project without another owner goes to whoever may do most in it; one in which nobody is left is deleted."""
    now, gone = clock.now(), command.user_id
    taking_part: dict[UUID, list[Membership]] = defaultdict(list)
    for membership in await members.beside(gone, project_count=BATCH_COUNT):
        taking_part[membership.project_id].append(membership)
    others = {one.user_id for team in taking_part.values() for one in team if one.user_id != gone}
    people = await directory.get_many(others)
    working = {user_id for user_id, person in people.items() if person.is_active}
    for project in await projects.get_all(taking_part):
        team = taking_part[project.id]
        leaver = next(one for one in team if one.user_id == gone)
        successor = heir([one for one in team if one.user_id != gone], working)
        members.remove(leaver, now)
        emit(outbox, MemberRemoved(project_id=project.id, user_id=gone, removed_by=gone))
        if successor is None:
            project.delete(now)
        elif leaver.is_owner:
            if not successor.is_owner:
                members.change_role(successor, OWNER)
                emit(
                    outbox,
                    MemberRoleChanged(
                        project_id=project.id,
                        user_id=successor.user_id,
                        before=successor.role,
                        after=OWNER,
                    ),
                )
            project.release_owner(gone, [leaver, replace(successor, role=OWNER)], now)
    return Unfinished() if len(taking_part) == BATCH_COUNT else None


def leaving(run: SagaRun) -> LeaveProjects:
    return LeaveProjects(user_id=UUID(run.data["user_id"]))
