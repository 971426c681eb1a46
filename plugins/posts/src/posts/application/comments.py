"""Saying something about posts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Len

from platform_core.domain import Command, body, new_id
from platform_core.ports import Clock
from platform_core.security import Principal
from posts.application.ports import CommentRepository, Copies, PostRepository
from posts.application.posts import named
from posts.contracts import CommentView, PostId
from posts.domain import WRITE, Comment, PostNotFound, readable_by
from user_management import UserDirectory

Words = Annotated[str, Len(1, 10_000)]


@body
@dataclass(frozen=True, kw_only=True)
class CommentDraft:
    """What somebody has to say."""

    body: Words


@dataclass(frozen=True, kw_only=True)
class AddComment(Command[CommentView]):
    """Say something about a post that one may read."""

    post_id: PostId
    body: Words


async def add_comment(
    command: AddComment,
    posts: PostRepository,
    comments: CommentRepository,
    copies: Copies,
    directory: UserDirectory,
    principal: Principal,
    clock: Clock,
) -> CommentView:
    """Handle `AddComment`."""
    user_id = principal.require_user()
    post = (await posts.open(command.post_id)).post
    if not (principal.can(WRITE) or readable_by(user_id).is_satisfied_by(post)):
        raise PostNotFound
    comment = Comment.write(new_id(), post_id=post.id, author_id=user_id, body=command.body, now=clock.now())
    comments.add(comment)
    copies.outdate([post.id])  # there is one comment more to be counted
    return CommentView(
        id=comment.id,
        post_id=comment.post_id,
        author=await named(user_id, directory),
        body=comment.body,
        created_at=comment.created_at,
    )
