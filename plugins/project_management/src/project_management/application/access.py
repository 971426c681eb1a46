"""Opens projects, tasks and comments for those who may do something with them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from platform_core.security import Principal
from project_management.application.ports import (
    CommentRepository,
    OpenedComment,
    OpenedProject,
    OpenedTask,
    ProjectRepository,
    TaskRepository,
)
from project_management.domain import Right


@dataclass(frozen=True, slots=True)
class Access:
    """
    The one way to what is in a project: who is not in it gets "not found", whose role is too low gets "forbidden".

    Attributes:
        principal: the caller.
    """

    projects: ProjectRepository
    tasks: TaskRepository
    comments: CommentRepository
    principal: Principal

    @property
    def user_id(self) -> UUID:
        """The caller; raises `Forbidden` for the platform itself."""
        return self.principal.require_user()

    async def project(self, project_id: UUID, right: Right) -> OpenedProject:
        """
        Load a project to do something with it.

        Raises:
            ProjectNotFound: the caller is not in it.
            RoleTooLow: they may not.
        """
        opened = await self.projects.open(project_id, self.user_id)
        opened.membership.require(right)
        return opened

    async def task(self, task_id: UUID, right: Right) -> OpenedTask:
        """
        Load a task to do something with it.

        Raises:
            TaskNotFound: the caller is not in its project.
            RoleTooLow: they may not.
        """
        opened = await self.tasks.open(task_id, self.user_id)
        opened.membership.require(right)
        return opened

    async def comment(self, comment_id: UUID, right: Right) -> OpenedComment:
        """
        Load a comment to do something with it.

        Raises:
            CommentNotFound: the caller is not in the project.
            RoleTooLow: they may not.
        """
        opened = await self.comments.open(comment_id, self.user_id)
        opened.membership.require(right)
        return opened
