"""Writing, changing, publishing and deleting posts: commands on the write model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from annotated_types import Len
from typing_extensions import TypedDict

from platform_core.domain import Command, body, new_id
from platform_core.ports import Clock
from platform_core.security import Principal
from posts.application.ports import OpenedPost, PostRepository, Renderer
from posts.contracts import AuthorView, PostId, PostView
from posts.domain import WRITE, Post
from user_management import UserDirectory

Title = Annotated[str, Len(1, 200)]
Body = Annotated[str, Len(1, 50_000)]
Tag = Annotated[str, Len(1, 50)]
Tags = Annotated[list[Tag], Len(0, 20)]


@dataclass(frozen=True, slots=True)
class Desk:
    """Where posts are opened by those who may change them, and shown to them afterwards as everybody will see them."""

    posts: PostRepository
    renderer: Renderer
    directory: UserDirectory
    principal: Principal

    async def open(self, post_id: PostId) -> OpenedPost:
        """
        Load a post to change it.

        Raises:
            PostNotFound: the caller may not know of it.
            NotYourPost: the caller may only read it.
        """
        opened = await self.posts.open(post_id)
        opened.post.require_writer(self.principal.require_user(), looks_after_all=self.principal.can(WRITE))
        return opened

    async def view(self, opened: OpenedPost) -> PostView:
        """Show a post."""
        post, rendered = opened.post, await self.renderer.render(opened.post.body)
        return PostView(
            id=post.id,
            slug=post.slug,
            title=post.title,
            body_html=rendered.html,
            excerpt=rendered.excerpt,
            tags=post.tags,
            author=opened.author or await named(post.author_id, self.directory),
            comment_count=opened.comment_count,
            published_at=post.published_at,
        )


async def named(user_id: UUID, directory: UserDirectory) -> AuthorView:
    """Ask for the name of an author of whom no event told: accounts may be older than this module's tables."""
    person = await directory.get(user_id)
    return AuthorView(
        id=user_id,
        username=person.username if person else None,
        full_name=person.full_name if person else None,
    )


@dataclass(frozen=True, kw_only=True)
class CreatePost(Command[PostView]):
    """Begin a post; it is a draft until it is published."""

    title: Title
    body: Body
    tags: Tags | None = None


async def create_post(command: CreatePost, posts: PostRepository, desk: Desk, clock: Clock) -> PostView:
    """Handle `CreatePost`."""
    post = Post.draft(
        new_id(),
        author_id=desk.principal.require_user(),
        title=command.title,
        body=command.body,
        tags=command.tags or (),
        now=clock.now(),
    )
    posts.add(post)
    return await desk.view(OpenedPost(post, None, 0))


@body
class PostChanges(TypedDict, total=False):
    """What may be changed; what is absent stays."""

    title: Title
    body: Body
    tags: Tags


@dataclass(frozen=True, kw_only=True)
class UpdatePost(Command[PostView]):
    """Write a post anew, published or not."""

    post_id: PostId
    changes: PostChanges


async def update_post(command: UpdatePost, desk: Desk, clock: Clock) -> PostView:
    """Handle `UpdatePost`."""
    opened, changes = await desk.open(command.post_id), command.changes
    post = opened.post
    post.rewrite(
        title=changes.get("title", post.title),
        body=changes.get("body", post.body),
        tags=changes.get("tags", post.tags),
        now=clock.now(),
    )
    return await desk.view(opened)


@dataclass(frozen=True, kw_only=True)
class PublishPost(Command[PostView]):
    """Let everybody read a post; one that they may read already stays as it is."""

    post_id: PostId


async def publish_post(command: PublishPost, desk: Desk, clock: Clock) -> PostView:
    """Handle `PublishPost`."""
    opened = await desk.open(command.post_id)
    opened.post.publish(clock.now())
    return await desk.view(opened)


@dataclass(frozen=True, kw_only=True)
class DeletePost(Command[None]):
    """Delete a post with what was said about it."""

    post_id: PostId


async def delete_post(command: DeletePost, desk: Desk, clock: Clock) -> None:
    """Handle `DeletePost`."""
    (await desk.open(command.post_id)).post.remove(clock.now())


@dataclass(frozen=True, kw_only=True)
class EnsurePost(Command[PostId | None]):
    """Publish a post, unless its author has one of this title; for seeds."""

    author_id: UUID
    title: Title
    body: Body
    tags: Tags


async def ensure_post(command: EnsurePost, posts: PostRepository, clock: Clock) -> PostId | None:
    """
    Handle `EnsurePost`.

    Returns: the new post's identity; None where there was one.
    """
    if await posts.has_title(command.author_id, command.title):
        return None
    now = clock.now()
    post = Post.draft(
        new_id(),
        author_id=command.author_id,
        title=command.title,
        body=command.body,
        tags=command.tags,
        now=now,
    )
    post.publish(now)
    posts.add(post)
    return post.id
