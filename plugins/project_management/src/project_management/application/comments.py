"""Discussing tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from annotated_types import Len

from platform_core.domain import Command, body, new_id
from platform_core.ports import Clock
from project_management.application.access import Access
from project_management.application.ports import CommentRepository, MemberRepository
from project_management.contracts import CommentId, CommentView, TaskId
from project_management.domain import Comment, ParentCommentNotFound, Right, mentioned
from user_management import UserDirectory

Body = Annotated[str, Len(1, 10_000)]


@body
@dataclass(frozen=True, kw_only=True)
class CommentDraft:
    """What somebody has to say; `@username` tells a member of the project about it."""

    body: Body
    parent_id: CommentId | None = None


@body
@dataclass(frozen=True, kw_only=True)
class OtherWords:
    """What it should have said."""

    body: Body


@dataclass(frozen=True, slots=True)
class Mentions:
    """Finds out whom a text mentions: those who are called so, and are in the project."""

    directory: UserDirectory
    members: MemberRepository

    async def of(self, text: str, project_id: UUID, *, not_in: str = "") -> list[UUID]:
        """
        Return who is mentioned.

        Args:
            not_in: who is mentioned here, too, is left out.
        """
        before = set(mentioned(not_in))
        names = [name for name in mentioned(text) if name not in before]
        if not names:
            return []
        people = await self.directory.find_by_usernames(names)
        ids = {person.id for person in people.values() if person.is_active}
        if not ids:
            return []
        return [member.user_id for member in await self.members.find(project_id, ids)]


@dataclass(frozen=True, kw_only=True)
class AddComment(Command[CommentView]):
    """Say something about a task."""

    task_id: TaskId
    draft: CommentDraft


async def add_comment(
    command: AddComment, access: Access, comments: CommentRepository, mentions: Mentions, clock: Clock
) -> CommentView:
    task, draft = (await access.task(command.task_id, Right.WORK_ON_TASKS)).task, command.draft
    if draft.parent_id is not None and not await comments.is_on(task.id, draft.parent_id):
        raise ParentCommentNotFound
    comment = Comment.write(
        task,
        comment_id=new_id(),
        author_id=access.user_id,
        parent_id=draft.parent_id,
        body=draft.body,
        mentioned_ids=await mentions.of(draft.body, task.project_id),
        now=clock.now(),
    )
    comments.add(comment)
    return view(comment)


@dataclass(frozen=True, kw_only=True)
class RewriteComment(Command[CommentView]):
    """Say it in other words."""

    comment_id: CommentId
    body: Body


async def rewrite_comment(
    command: RewriteComment, access: Access, mentions: Mentions, clock: Clock
) -> CommentView:
    opened = await access.comment(command.comment_id, Right.WORK_ON_TASKS)
    comment, task = opened.comment, opened.task
    comment.rewrite(
        task,
        by=access.user_id,
        body=command.body,
        newly_mentioned=await mentions.of(command.body, task.project_id, not_in=comment.body),
        now=clock.now(),
    )
    return view(comment)


@dataclass(frozen=True, kw_only=True)
class DeleteComment(Command[None]):
    """Take a comment back; answers to it stay."""

    comment_id: CommentId


async def delete_comment(command: DeleteComment, access: Access, clock: Clock) -> None:
    opened = await access.comment(command.comment_id, Right.WORK_ON_TASKS)
    opened.comment.remove(opened.membership, clock.now())


def view(comment: Comment) -> CommentView:
    """Show a comment."""
    return CommentView(
        id=comment.id,
        task_id=comment.task_id,
        author_id=comment.author_id,
        parent_id=comment.parent_id,
        body=comment.body,
        created_at=comment.created_at,
        updated_at=comment.updated_at,
    )
