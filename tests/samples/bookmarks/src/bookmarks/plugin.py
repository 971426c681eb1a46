"""What bookmarks contributes to the platform; read it like a table of contents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bookmarks import application, infrastructure
from bookmarks.seeds import SEEDS
from bookmarks.settings import BookmarksSettings
from platform_core import hookimpl
from platform_core.declarations import (
    HealthCheck,
    Migrations,
    Permission,
    Schedule,
    Seed,
    Services,
    Subscription,
    Task,
    on,
    per_unit_of_work,
)
from user_management import UserDeleted, UserRegistered

if TYPE_CHECKING:
    import typer
    from fastapi import APIRouter


@hookimpl
def register_settings() -> type[BookmarksSettings]:
    return BookmarksSettings


@hookimpl
def register_services() -> Services:
    return Services(
        provides=[per_unit_of_work(application.BookmarkRepository, infrastructure.SqlBookmarkRepository)],
        commands={
            application.KeepBookmark: application.keep_bookmark,
            application.UpdateBookmark: application.update_bookmark,
            application.DeleteBookmark: application.delete_bookmark,
            application.EnsureBookmark: application.ensure_bookmark,
            application.ImportBookmarks: application.import_bookmarks,
            application.PurgeBookmarks: application.purge_bookmarks,
        },
        queries={
            application.GetBookmark: infrastructure.get_bookmark,
            application.ListBookmarks: infrastructure.list_bookmarks,
            application.ListEverybodysBookmarks: infrastructure.list_everybodys_bookmarks,
        },
    )


@hookimpl
def register_routes() -> Sequence[APIRouter]:
    from bookmarks.presentation import router

    return [router]


@hookimpl
def register_permissions() -> Sequence[Permission]:
    return [Permission("bookmarks:read", "See everybody's bookmarks")]


@hookimpl
def register_migrations() -> Migrations:
    return Migrations(Path(__file__).parent / "migrations" / "versions", infrastructure.METADATA)


@hookimpl
def register_event_handlers() -> Sequence[Subscription]:
    return [
        on(UserRegistered, application.give_first_bookmark, name="bookmarks.first_bookmark"),
        on(UserDeleted, application.forget_owner, name="bookmarks.forget_owner"),
    ]


@hookimpl
def register_tasks() -> Sequence[Task | Schedule]:
    return [
        Task(command=application.PurgeBookmarks, audited=False),
        Schedule(name="bookmarks.purge", every=timedelta(days=1), command=application.PurgeBookmarks()),
    ]


@hookimpl
def register_seeds() -> Sequence[Seed]:
    return SEEDS


@hookimpl
def register_health_checks() -> Sequence[HealthCheck]:
    return [HealthCheck(name="bookmarks", check=infrastructure.check_table)]


@hookimpl
def register_cli() -> typer.Typer:
    from bookmarks.presentation import commands

    return commands
