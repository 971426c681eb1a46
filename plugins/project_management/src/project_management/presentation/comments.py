"""Routes of comments on tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from platform_core.domain import Page
from platform_core.errors import InvalidInput
from platform_core.http import Ask, Execute, PageParams, Router
from project_management.application.comments import (
    AddComment,
    CommentDraft,
    DeleteComment,
    OtherWords,
    RewriteComment,
)
from project_management.application.queries import GetComment, ListComments, MayRewrite
from project_management.contracts import CommentView
from project_management.domain import (
    CommentNotFound,
    NotYourComment,
    ParentCommentNotFound,
    Right,
    RoleTooLow,
    TaskNotFound,
)
from project_management.presentation.visibility import with_task

router = Router()


def _is_theirs(path: Mapping[str, Any]) -> MayRewrite:
    return MayRewrite(comment_id=path["comment_id"])


@router.post(
    "/tasks/{task_id}/comments",
    status_code=201,
    visible=with_task(Right.WORK_ON_TASKS),
    raises=(TaskNotFound, RoleTooLow, ParentCommentNotFound, InvalidInput),
    summary="Say something about a task; @username tells a member of the project",
)
async def add_comment(task_id: UUID, draft: CommentDraft, execute: Execute) -> CommentView:
    return await execute(AddComment(task_id=task_id, draft=draft))


@router.get(
    "/tasks/{task_id}/comments",
    visible=with_task(Right.READ),
    raises=(TaskNotFound,),
    summary="List what was said about a task, newest first",
)
async def list_comments(task_id: UUID, page: PageParams, ask: Ask) -> Page[CommentView]:
    return await ask(ListComments(task_id=task_id, page=page))


@router.get("/comments/{comment_id}", raises=(CommentNotFound,), summary="Read a comment")
async def get_comment(comment_id: UUID, ask: Ask) -> CommentView:
    return await ask(GetComment(comment_id=comment_id))


@router.patch(
    "/comments/{comment_id}",
    visible=_is_theirs,
    raises=(CommentNotFound, RoleTooLow, NotYourComment, InvalidInput),
    summary="Say it in other words; for who wrote it",
)
async def rewrite_comment(comment_id: UUID, words: OtherWords, execute: Execute) -> CommentView:
    return await execute(RewriteComment(comment_id=comment_id, body=words.body))


@router.delete(
    "/comments/{comment_id}",
    raises=(CommentNotFound, RoleTooLow),
    summary="Take a comment back; for who wrote it, managers and owners",
)
async def delete_comment(comment_id: UUID, execute: Execute) -> None:
    await execute(DeleteComment(comment_id=comment_id))
