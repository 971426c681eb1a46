"""Who takes part in a project, and as what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from platform_core.domain import Command, body
from platform_core.ports import Clock, Outbox
from project_management.application.access import Access
from project_management.application.ports import MemberRepository, OpenedProject
from project_management.contracts import (
    MemberAdded,
    MemberRemoved,
    MemberRoleChanged,
    MemberView,
    ProjectId,
    Role,
)
from project_management.domain import OWNER, MemberNotFound, Membership, OwnersOnly, Right, UnknownUser
from user_management import UserDirectory

AGGREGATE = "project_management.project"
"""Events about members belong to their project."""


@body
@dataclass(frozen=True, kw_only=True)
class NewMember:
    """Who is to take part, and as what."""

    user_id: UUID
    role: Role


@body
@dataclass(frozen=True, kw_only=True)
class NewRole:
    """What somebody is to be."""

    role: Role


@dataclass(frozen=True, kw_only=True)
class AddMember(Command[MemberView]):
    """Let somebody take part in a project."""

    project_id: ProjectId
    member: NewMember


async def add_member(
    command: AddMember,
    access: Access,
    members: MemberRepository,
    directory: UserDirectory,
    outbox: Outbox,
    clock: Clock,
) -> MemberView:
    """Whether they take part already is decided by the database at the commit."""
    opened = await access.project(command.project_id, Right.MANAGE_MEMBERS)
    _require_owner_for(command.member.role, opened)
    person = await directory.get(command.member.user_id)
    if person is None or not person.is_active:
        raise UnknownUser
    member = Membership(
        project_id=opened.project.id, user_id=person.id, role=command.member.role, joined_at=clock.now()
    )
    members.add(member)
    emit(
        outbox,
        MemberAdded(
            project_id=opened.project.id,
            project_name=opened.project.name,
            user_id=person.id,
            role=member.role,
            added_by=access.user_id,
        ),
    )
    return view(member)


@dataclass(frozen=True, kw_only=True)
class ChangeRole(Command[MemberView]):
    """Let somebody in a project do more, or less."""

    project_id: ProjectId
    user_id: UUID
    role: Role


async def change_role(
    command: ChangeRole,
    access: Access,
    members: MemberRepository,
    directory: UserDirectory,
    outbox: Outbox,
    clock: Clock,
) -> MemberView:
    opened = await access.project(command.project_id, Right.MANAGE_MEMBERS)
    member, now = await _member(members, command.project_id, command.user_id), clock.now()
    if member.role == command.role:
        return view(member)
    _require_owner_for(command.role, opened)
    _require_owner_for(member.role, opened)
    if member.is_owner:
        owners = await _owners_who_can_act(member.project_id, members, directory)
        opened.project.release_owner(member.user_id, owners, now)
    members.change_role(member, command.role)
    emit(
        outbox,
        MemberRoleChanged(
            project_id=member.project_id, user_id=member.user_id, before=member.role, after=command.role
        ),
    )
    return view(replace(member, role=command.role))


@dataclass(frozen=True, kw_only=True)
class RemoveMember(Command[None]):
    """Let somebody, or oneself, out of a project."""

    project_id: ProjectId
    user_id: UUID


async def remove_member(
    command: RemoveMember,
    access: Access,
    members: MemberRepository,
    directory: UserDirectory,
    outbox: Outbox,
    clock: Clock,
) -> None:
    """Everybody may leave; for others it takes a manager, and an owner for an owner."""
    is_leaving = command.user_id == access.user_id
    opened = await access.project(command.project_id, Right.READ if is_leaving else Right.MANAGE_MEMBERS)
    member, now = await _member(members, command.project_id, command.user_id), clock.now()
    _require_owner_for(member.role, opened)
    if member.is_owner:
        owners = await _owners_who_can_act(member.project_id, members, directory)
        opened.project.release_owner(member.user_id, owners, now)
    members.remove(member, now)
    emit(
        outbox,
        MemberRemoved(project_id=member.project_id, user_id=member.user_id, removed_by=access.user_id),
    )


def view(member: Membership) -> MemberView:
    """Show somebody in a project."""
    return MemberView(user_id=member.user_id, role=member.role, joined_at=member.joined_at)


async def _member(members: MemberRepository, project_id: UUID, user_id: UUID) -> Membership:
    found = await members.find(project_id, [user_id])
    if not found:
        raise MemberNotFound
    return found[0]


async def _owners_who_can_act(
    project_id: UUID, members: MemberRepository, directory: UserDirectory
) -> list[Membership]:
    """Return the owners whose account works; a project left to any other could be changed by nobody."""
    owners = await members.owners(project_id)
    people = await directory.get_many(owner.user_id for owner in owners)
    working = {user_id for user_id, person in people.items() if person.is_active}
    return [owner for owner in owners if owner.user_id in working]


def _require_owner_for(role: Role, opened: OpenedProject) -> None:
    if role == OWNER and not opened.membership.is_owner:
        raise OwnersOnly


def emit(outbox: Outbox, event: MemberAdded | MemberRoleChanged | MemberRemoved) -> None:
    """Let it be known, as something that happened to the project."""
    outbox.emit(event, aggregate_type=AGGREGATE, aggregate_id=event.project_id)
