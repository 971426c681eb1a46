"""What posts contribute to the platform; read it like a table of contents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from platform_core import hookimpl
from platform_core.declarations import (
    Migrations,
    Permission,
    Projection,
    ProjectionTable,
    Seed,
    Services,
    on,
    per_application,
    per_unit_of_work,
)
from posts import contracts
from posts.application import comments, ports, posts, projection, queries
from posts.domain import WRITE
from posts.infrastructure import copies, markdown, pages, reads, repositories, tables
from posts.seeds import SEEDS
from user_management import UserAdded, UserDeleted, UserInvited, UserRegistered, UserRenamed

if TYPE_CHECKING:
    from fastapi import APIRouter


@hookimpl
def register_services() -> Services:
    return Services(
        provides=[
            per_application(ports.Renderer, markdown.MarkdownRenderer),
            # what is written
            per_unit_of_work(ports.PostRepository, repositories.SqlPostRepository),
            per_unit_of_work(ports.CommentRepository, repositories.SqlCommentRepository),
            per_unit_of_work(posts.Desk),
            # what is read
            per_unit_of_work(ports.Pages, pages.SqlPages),
            per_unit_of_work(ports.Authors, pages.SqlAuthors),
            per_unit_of_work(ports.Copies, copies.OutdatedPages),
            per_application(copies.PageCopies),
        ],
        commands={
            posts.CreatePost: posts.create_post,
            posts.UpdatePost: posts.update_post,
            posts.PublishPost: posts.publish_post,
            posts.DeletePost: posts.delete_post,
            posts.EnsurePost: posts.ensure_post,
            comments.AddComment: comments.add_comment,
        },
        queries={
            queries.GetPost: reads.get_post,
            queries.ListPosts: reads.list_posts,
            queries.MayRead: reads.may_read,
            queries.MayChange: reads.may_change,
            queries.ListComments: reads.list_comments,
        },
    )


@hookimpl
def register_routes() -> Sequence[APIRouter]:
    from posts.presentation import router

    return [router]


@hookimpl
def register_projections() -> Sequence[Projection]:
    return [
        Projection(
            name="posts",
            tables=[
                ProjectionTable(table=tables.pages, key="id"),
                ProjectionTable(table=tables.authors, key="user_id"),
            ],
            handlers=_HANDLERS,
        )
    ]


_HANDLERS: Final = (
    on(contracts.PostCreated, projection.show_post, name="posts.show_created"),
    on(contracts.PostUpdated, projection.show_post, name="posts.show_updated"),
    on(contracts.PostPublished, projection.show_post, name="posts.show_published"),
    on(contracts.PostDeleted, projection.remove_post, name="posts.remove_deleted"),
    on(UserRegistered, projection.name_author, name="posts.name_registered"),
    on(UserInvited, projection.name_author, name="posts.name_invited"),
    on(UserAdded, projection.name_author, name="posts.name_added"),
    on(UserRenamed, projection.name_author, name="posts.name_renamed"),
    on(UserDeleted, projection.forget_author, name="posts.forget_deleted"),
)


@hookimpl
def register_permissions() -> Sequence[Permission]:
    return [Permission(WRITE, "Read everybody's drafts, and change, publish and delete everybody's posts")]


@hookimpl
def register_migrations() -> Migrations:
    return Migrations(Path(__file__).parent / "migrations" / "versions", tables.METADATA)


@hookimpl
def register_seeds() -> Sequence[Seed]:
    return SEEDS
