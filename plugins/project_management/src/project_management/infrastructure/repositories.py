"""Projects, tasks and what belongs to them in PostgreSQL, for commands; each question is one round trip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, ClassVar, Final
from uuid import UUID

from sqlalchemy import Integer, Uuid, any_, bindparam, delete, exists, func, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert

from platform_core.db import AggregateMap, Repository, UnitOfWork, where
from project_management.application.ports import (
    Figures,
    Happening,
    OpenedComment,
    OpenedProject,
    OpenedTask,
    Surroundings,
)
from project_management.contracts import Role
from project_management.domain import (
    AlreadyMember,
    Comment,
    CommentNotFound,
    Expense,
    Membership,
    Milestone,
    Project,
    ProjectNotFound,
    Right,
    Task,
    TaskNotFound,
    TimeEntry,
    assignable_in,
    holding,
    visible_to,
)
from project_management.infrastructure.derived import PROGRESS, SPENT, SPENT_MINUTES
from project_management.infrastructure.tables import (
    COMMENTS,
    EXPENSES,
    MILESTONES,
    PROJECTS,
    TASKS,
    TIME_ENTRIES,
    activity_entries,
    project_members,
    projects,
    task_attachments,
    task_comments,
    tasks,
)

Row = Mapping[str, Any]

_USER: Final = bindparam("user", type_=Uuid)
_PROJECT: Final = bindparam("project", type_=Uuid)
_VISIBLE: Final = where(visible_to(_USER), project_members)
_MEMBER: Final = (project_members.c.role.label("_role"), project_members.c.joined_at.label("_joined_at"))


def _membership(row: Row, project_id: UUID, user_id: UUID) -> Membership:
    return Membership(project_id=project_id, user_id=user_id, role=row["_role"], joined_at=row["_joined_at"])


# ── Projects and members ─────────────────────────────────────────────────────────────────────────


class SqlProjectRepository(Repository[Project]):
    """Projects that are not deleted."""

    mapping: ClassVar[AggregateMap[Project]] = PROJECTS
    missing = ProjectNotFound

    _OPEN: ClassVar = (
        PROJECTS.select()
        .add_columns(*_MEMBER)
        .select_from(projects)
        .join(project_members, project_members.c.project_id == projects.c.id)
        .where(projects.c.id == _PROJECT, projects.c.deleted_at.is_(None), _VISIBLE)
    )
    _FIGURES: ClassVar = (
        select(SPENT.label("spent"), PROGRESS.label("progress"))
        .select_from(projects)
        .where(projects.c.id == _PROJECT)
    )

    async def open(self, project_id: UUID, user_id: UUID) -> OpenedProject:
        row = await self.uow.fetch_one(self._OPEN, {"project": project_id, "user": user_id})
        if row is None:
            raise ProjectNotFound
        return OpenedProject(self._remember(row), _membership(row, project_id, user_id))

    async def figures(self, project_id: UUID) -> Figures:
        row = await self.uow.fetch_one(self._FIGURES, {"project": project_id})
        return Figures(row["spent"], row["progress"]) if row else Figures()

    async def get_all(self, project_ids: Iterable[UUID]) -> Sequence[Project]:
        return await self.find_all(projects.c.id.in_(list(project_ids)))

    async def find_named(self, owner_id: UUID, name: str) -> Project | None:
        found = await self.find_all(projects.c.owner_id == owner_id, projects.c.name == name)
        return min(found, key=lambda project: project.id, default=None)


class SqlMemberRepository:
    """Who is in which project: a row each, without an identity of its own."""

    _COLUMNS: ClassVar = select(
        project_members.c.project_id,
        project_members.c.user_id,
        project_members.c.role,
        project_members.c.joined_at,
    )
    _FIND: ClassVar = _COLUMNS.where(
        where(assignable_in(_PROJECT), project_members),
        project_members.c.user_id == any_(bindparam("users", type_=ARRAY(Uuid))),
    )
    _OWNERS: ClassVar = _COLUMNS.where(
        where(assignable_in(_PROJECT) & holding(Right.OWN), project_members)
    ).order_by(project_members.c.joined_at, project_members.c.user_id)

    _BESIDE: ClassVar = _COLUMNS.where(
        project_members.c.project_id.in_(
            select(project_members.c.project_id)
            .join(projects, projects.c.id == project_members.c.project_id)
            .where(project_members.c.user_id == _USER, projects.c.deleted_at.is_(None))
            .order_by(project_members.c.project_id)
            .limit(bindparam("project_count", type_=Integer))
        )
    )

    def __init__(self, uow: UnitOfWork) -> None:
        self._uow = uow

    async def find(self, project_id: UUID, user_ids: Iterable[UUID]) -> Sequence[Membership]:
        rows = await self._uow.fetch_all(self._FIND, {"project": project_id, "users": list(user_ids)})
        return [Membership(**row) for row in rows]

    async def owners(self, project_id: UUID) -> Sequence[Membership]:
        rows = await self._uow.fetch_all(self._OWNERS, {"project": project_id})
        return [Membership(**row) for row in rows]

    async def beside(self, user_id: UUID, *, project_count: int) -> Sequence[Membership]:
        rows = await self._uow.fetch_all(self._BESIDE, {"user": user_id, "project_count": project_count})
        return [Membership(**row) for row in rows]

    def add(self, membership: Membership) -> None:
        self._uow.write(
            insert(project_members).values(
                project_id=membership.project_id,
                user_id=membership.user_id,
                role=membership.role,
                joined_at=membership.joined_at,
            ),
            constraints={"pk_project_members": AlreadyMember},
            resource=(PROJECTS.name, membership.project_id),
        )

    def change_role(self, membership: Membership, role: Role) -> None:
        self._uow.write(
            update(project_members).where(*_unchanged(membership)).values(role=role),
            expect=1,
            resource=(PROJECTS.name, membership.project_id),
        )

    def remove(self, membership: Membership, now: datetime) -> None:
        # the foreign key would take them away, too, and does so from what was assigned a moment ago
        theirs = (tasks.c.project_id == membership.project_id, tasks.c.assignee_id == membership.user_id)
        self._uow.write(
            update(tasks).where(*theirs).values(assignee_id=None, updated_at=now, version=tasks.c.version + 1)
        )
        self._uow.write(
            delete(project_members).where(*_unchanged(membership)),
            expect=1,
            resource=(PROJECTS.name, membership.project_id),
        )


def _unchanged(membership: Membership) -> tuple[Any, ...]:
    return (
        project_members.c.project_id == membership.project_id,
        project_members.c.user_id == membership.user_id,
        project_members.c.role == membership.role,
    )


# ── Tasks ────────────────────────────────────────────────────────────────────────────────────────


class SqlTaskRepository(Repository[Task]):
    """Tasks that are not deleted, of projects that are not deleted."""

    mapping: ClassVar[AggregateMap[Task]] = TASKS
    missing = TaskNotFound

    _OPEN: ClassVar = (
        TASKS.select()
        .add_columns(*_MEMBER, SPENT_MINUTES.label("_spent_minutes"))
        .select_from(tasks)
        .join(projects, projects.c.id == tasks.c.project_id)
        .join(project_members, project_members.c.project_id == tasks.c.project_id)
        .where(
            tasks.c.id == bindparam("task", type_=Uuid),
            tasks.c.deleted_at.is_(None),
            projects.c.deleted_at.is_(None),
            _VISIBLE,
        )
    )

    async def open(self, task_id: UUID, user_id: UUID) -> OpenedTask:
        row = await self.uow.fetch_one(self._OPEN, {"task": task_id, "user": user_id})
        if row is None:
            raise TaskNotFound
        task = self._remember(row)
        return OpenedTask(task, _membership(row, task.project_id, user_id), row["_spent_minutes"])

    _ASSIGNEE: ClassVar = project_members.alias("assignee")
    _PARENT: ClassVar = tasks.alias("parent")
    _SURROUNDINGS: ClassVar = (
        select(
            *_MEMBER,
            _ASSIGNEE.c.role.label("assignee_role"),
            _ASSIGNEE.c.joined_at.label("assignee_joined_at"),
            _PARENT.c.id.label("parent_id"),
        )
        .select_from(projects)
        .join(project_members, project_members.c.project_id == projects.c.id)
        .outerjoin(
            _ASSIGNEE,
            where(assignable_in(projects.c.id), _ASSIGNEE)
            & (_ASSIGNEE.c.user_id == bindparam("assignee", type_=Uuid)),
        )
        .outerjoin(
            _PARENT,
            (_PARENT.c.project_id == projects.c.id)
            & (_PARENT.c.id == bindparam("parent", type_=Uuid))
            & _PARENT.c.deleted_at.is_(None),
        )
        .where(projects.c.id == _PROJECT, projects.c.deleted_at.is_(None), _VISIBLE)
    )

    async def surroundings(
        self, project_id: UUID, user_id: UUID, *, assignee_id: UUID | None, parent_id: UUID | None
    ) -> Surroundings:
        row = await self.uow.fetch_one(
            self._SURROUNDINGS,
            {"project": project_id, "user": user_id, "assignee": assignee_id, "parent": parent_id},
        )
        if row is None:
            return Surroundings(None, None, has_parent=False)
        assignee = None
        if assignee_id is not None and row["assignee_role"] is not None:
            assignee = Membership(
                project_id=project_id,
                user_id=assignee_id,
                role=row["assignee_role"],
                joined_at=row["assignee_joined_at"],
            )
        return Surroundings(
            _membership(row, project_id, user_id), assignee, has_parent=row["parent_id"] is not None
        )

    async def hold_tree(self, project_id: UUID) -> None:
        await self.uow.begin()
        await self.uow.fetch_one(_HOLD, {"name": f"project_management.tree {project_id}"})

    async def below(self, task_id: UUID) -> set[UUID]:
        return {row["id"] for row in await self.uow.fetch_all(_BELOW, {"task": task_id})}

    def delete_parts(self, task_ids: Iterable[UUID], *, except_id: UUID, now: datetime) -> None:
        self.uow.write(
            update(tasks)
            .where(tasks.c.id.in_(list(task_ids)), tasks.c.id != except_id, tasks.c.deleted_at.is_(None))
            .values(deleted_at=now, updated_at=now, version=tasks.c.version + 1)
        )

    def attach(self, task_id: UUID, file_id: UUID, *, by: UUID, now: datetime) -> None:
        self.uow.write(
            upsert(task_attachments)
            .values(task_id=task_id, file_id=file_id, attached_by=by, created_at=now)
            .on_conflict_do_nothing(),
            resource=(TASKS.name, task_id),
        )

    def detach(self, task_id: UUID, file_id: UUID) -> None:
        self.uow.write(
            delete(task_attachments).where(
                task_attachments.c.task_id == task_id, task_attachments.c.file_id == file_id
            ),
            resource=(TASKS.name, task_id),
        )

    async def has_attachment(self, task_id: UUID, file_id: UUID) -> bool:
        return await self.uow.fetch_one(_ATTACHED, {"task": task_id, "file": file_id}) is not None

    async def is_attached_in(self, project_id: UUID, file_id: UUID) -> bool:
        found = await self.uow.fetch_one(_ATTACHED_IN, {"project": project_id, "file": file_id})
        return found is not None


_HOLD: Final = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("name"), 0)))

_tree = select(tasks.c.id).where(tasks.c.id == bindparam("task", type_=Uuid)).cte("tree", recursive=True)
_tree = _tree.union(select(tasks.c.id).where(tasks.c.parent_id == _tree.c.id))
_BELOW: Final = select(_tree.c.id)

_OF_FILE: Final = select(task_attachments.c.task_id).where(
    task_attachments.c.file_id == bindparam("file", type_=Uuid)
)
_ATTACHED: Final = _OF_FILE.where(task_attachments.c.task_id == bindparam("task", type_=Uuid))
_ATTACHED_IN: Final = (
    _OF_FILE.join(tasks, tasks.c.id == task_attachments.c.task_id)
    .where(tasks.c.project_id == _PROJECT, tasks.c.deleted_at.is_(None))
    .limit(1)
)


# ── What belongs to tasks and projects ───────────────────────────────────────────────────────────


class SqlCommentRepository(Repository[Comment]):
    """Comments that are not deleted."""

    mapping: ClassVar[AggregateMap[Comment]] = COMMENTS
    missing = CommentNotFound

    _OPEN: ClassVar = (
        COMMENTS.select()
        .add_columns(*_MEMBER)
        .select_from(task_comments)
        .join(tasks, tasks.c.id == task_comments.c.task_id)
        .join(projects, projects.c.id == tasks.c.project_id)
        .join(project_members, project_members.c.project_id == tasks.c.project_id)
        .where(
            task_comments.c.id == bindparam("comment", type_=Uuid),
            task_comments.c.deleted_at.is_(None),
            tasks.c.deleted_at.is_(None),
            projects.c.deleted_at.is_(None),
            _VISIBLE,
        )
    )
    _IS_ON: ClassVar = select(
        exists().where(
            task_comments.c.id == bindparam("comment", type_=Uuid),
            task_comments.c.task_id == bindparam("task", type_=Uuid),
            task_comments.c.deleted_at.is_(None),
        )
    )

    def __init__(self, uow: UnitOfWork) -> None:
        super().__init__(uow)
        self._tasks = SqlTaskRepository(uow)

    async def open(self, comment_id: UUID, user_id: UUID) -> OpenedComment:
        row = await self.uow.fetch_one(self._OPEN, {"comment": comment_id, "user": user_id})
        if row is None:
            raise CommentNotFound
        comment = self._remember(row)
        task = await self._tasks.get(comment.task_id)
        return OpenedComment(comment, task, _membership(row, task.project_id, user_id))

    async def is_on(self, task_id: UUID, comment_id: UUID) -> bool:
        row = await self.uow.fetch_one(self._IS_ON, {"task": task_id, "comment": comment_id})
        return row is not None and bool(next(iter(row.values())))


class SqlTimeEntryRepository(Repository[TimeEntry]):
    """Time that was worked."""

    mapping: ClassVar[AggregateMap[TimeEntry]] = TIME_ENTRIES


class SqlExpenseRepository(Repository[Expense]):
    """Money that was spent."""

    mapping: ClassVar[AggregateMap[Expense]] = EXPENSES


class SqlMilestoneRepository(Repository[Milestone]):
    """Days that something is due."""

    mapping: ClassVar[AggregateMap[Milestone]] = MILESTONES


class SqlActivityLog:
    """The activity feed; the same event twice is one line."""

    # every event comes by here, so the statement is made once
    _NOTE: ClassVar = (
        upsert(activity_entries)
        .values({column.name: bindparam(column.name, type_=column.type) for column in activity_entries.c})
        .on_conflict_do_nothing()
    )

    def __init__(self, uow: UnitOfWork) -> None:
        self._uow = uow

    def note(self, happening: Happening) -> None:
        self._uow.write(self._NOTE, asdict(happening))
