"""A comment: what somebody says about a task."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from platform_core.domain import Aggregate
from platform_core.texts import human_text
from project_management.contracts import CommentAdded, UserMentioned
from project_management.domain.errors import NotYourComment
from project_management.domain.roles import Membership, Right
from project_management.domain.tasks import Task


@dataclass(eq=False, kw_only=True)
class Comment(Aggregate):
    """
    A comment on a task.

    Attributes:
        parent_id: the comment on the same task that it answers.
    """

    task_id: UUID
    author_id: UUID
    parent_id: UUID | None
    body: str

    @classmethod
    def write(
        cls,
        task: Task,
        *,
        comment_id: UUID,
        author_id: UUID,
        parent_id: UUID | None,
        body: str,
        mentioned_ids: Iterable[UUID],
        now: datetime,
    ) -> Comment:
        """
        Say something about a task.

        Args:
            mentioned_ids: members whom the text names.

        Raises:
            InvalidInput: there is no text.
        """
        comment = cls(
            id=comment_id,
            created_at=now,
            updated_at=now,
            task_id=task.id,
            author_id=author_id,
            parent_id=parent_id,
            body=human_text(body, "body"),
        )
        others = [user_id for user_id in mentioned_ids if user_id != author_id]
        comment.record(
            CommentAdded(
                project_id=task.project_id,
                task_id=task.id,
                task_title=task.title,
                comment_id=comment_id,
                author_id=author_id,
                assignee_id=task.assignee_id,
                mentioned_ids=others,
            )
        )
        comment._mention(task, others)
        return comment

    def rewrite(
        self, task: Task, *, by: UUID, body: str, newly_mentioned: Iterable[UUID], now: datetime
    ) -> None:
        """
        Say it in other words.

        Args:
            newly_mentioned: members whom the text names, and did not name before.

        Raises:
            NotYourComment: somebody else wrote it.
            InvalidInput: there is no text.
        """
        if by != self.author_id:
            raise NotYourComment
        self.body = human_text(body, "body")
        self.touch(now)
        self._mention(task, [user_id for user_id in newly_mentioned if user_id != self.author_id])

    def remove(self, by: Membership, now: datetime) -> None:
        """
        Take it back.

        Raises:
            RoleTooLow: neither the author nor somebody who may.
        """
        if by.user_id != self.author_id:
            by.require(Right.MODERATE)
        self.delete(now)

    def _mention(self, task: Task, user_ids: list[UUID]) -> None:
        if user_ids:
            self.record(
                UserMentioned(
                    project_id=task.project_id,
                    task_id=task.id,
                    task_title=task.title,
                    comment_id=self.id,
                    author_id=self.author_id,
                    user_ids=user_ids,
                )
            )
