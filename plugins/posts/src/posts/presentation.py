"""Routes below `/posts`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query

from platform_core.domain import Page
from platform_core.errors import InvalidInput
from platform_core.http import Ask, Execute, PageParams, Router
from posts.application.comments import AddComment, CommentDraft
from posts.application.posts import CreatePost, DeletePost, PostChanges, PublishPost, UpdatePost
from posts.application.queries import GetPost, ListComments, ListPosts, MayChange, MayRead
from posts.contracts import CommentView, PostView
from posts.domain import NotYourPost, PostNotFound

router = Router()


def _may_change(path: Mapping[str, Any]) -> MayChange:
    return MayChange(post_id=path["post_id"])


def _may_read(path: Mapping[str, Any]) -> MayRead:
    return MayRead(post_id=path["post_id"])


@router.post("/posts", status_code=201, raises=(InvalidInput,), summary="Begin a post, in Markdown")
async def create_post(command: CreatePost, execute: Execute) -> PostView:
    return await execute(command)


@router.get(
    "/posts",
    summary="List or search posts, those published last first; your own drafts where they were begun",
)
async def list_posts(
    page: PageParams,
    ask: Ask,
    tag: Annotated[str | None, Query(min_length=1, max_length=50)] = None,
    author_id: UUID | None = None,
    q: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
) -> Page[PostView]:
    return await ask(ListPosts(page=page, tag=tag, author_id=author_id, q=q))


@router.get("/posts/{post_id}", raises=(PostNotFound,), summary="Read a post")
async def get_post(post_id: UUID, ask: Ask) -> PostView:
    return await ask(GetPost(post_id=post_id))


@router.patch(
    "/posts/{post_id}",
    visible=_may_change,
    raises=(PostNotFound, NotYourPost, InvalidInput),
    summary="Write a post anew",
)
async def update_post(post_id: UUID, changes: PostChanges, execute: Execute) -> PostView:
    return await execute(UpdatePost(post_id=post_id, changes=changes))


@router.delete("/posts/{post_id}", raises=(PostNotFound, NotYourPost), summary="Delete a post")
async def delete_post(post_id: UUID, execute: Execute) -> None:
    await execute(DeletePost(post_id=post_id))


@router.post(
    "/posts/{post_id}/publish", raises=(PostNotFound, NotYourPost), summary="Let everybody read a post"
)
async def publish_post(post_id: UUID, execute: Execute) -> PostView:
    return await execute(PublishPost(post_id=post_id))


@router.post(
    "/posts/{post_id}/comments",
    status_code=201,
    visible=_may_read,
    raises=(PostNotFound, InvalidInput),
    summary="Say something about a post",
)
async def add_comment(post_id: UUID, draft: CommentDraft, execute: Execute) -> CommentView:
    return await execute(AddComment(post_id=post_id, body=draft.body))


@router.get("/posts/{post_id}/comments", raises=(PostNotFound,), summary="List what was said about a post")
async def list_comments(post_id: UUID, page: PageParams, ask: Ask) -> Page[CommentView]:
    return await ask(ListComments(post_id=post_id, page=page))
