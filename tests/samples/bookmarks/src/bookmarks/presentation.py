"""The routes and the command line of bookmarks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import typer
from fastapi import Query

from bookmarks.application import (
    BookmarkChanges,
    DeleteBookmark,
    GetBookmark,
    ImportBookmarks,
    KeepBookmark,
    ListBookmarks,
    ListEverybodysBookmarks,
    UpdateBookmark,
)
from bookmarks.contracts import BookmarkView, SharedBookmarkView
from bookmarks.domain import AlreadyKept, BookmarkNotFound
from platform_core.cli import with_kernel
from platform_core.domain import Page
from platform_core.errors import InvalidInput
from platform_core.http import Ask, Execute, PageParams, Router

router = Router()


def _is_there(path: Mapping[str, Any]) -> GetBookmark:
    return GetBookmark(bookmark_id=path["bookmark_id"])


@router.post("/bookmarks", status_code=201, raises=(AlreadyKept, InvalidInput), summary="Keep a link")
async def keep_bookmark(command: KeepBookmark, execute: Execute) -> BookmarkView:
    return await execute(command)


@router.get("/bookmarks", summary="List your bookmarks, newest first")
async def list_bookmarks(
    page: PageParams, ask: Ask, q: Annotated[str | None, Query(max_length=200)] = None
) -> Page[BookmarkView]:
    return await ask(ListBookmarks(page=page, q=q))


@router.get("/bookmarks/everybody", permission="bookmarks:read", summary="List everybody's bookmarks")
async def list_everybodys_bookmarks(page: PageParams, ask: Ask) -> Page[SharedBookmarkView]:
    return await ask(ListEverybodysBookmarks(page=page))


@router.get("/bookmarks/{bookmark_id}", raises=(BookmarkNotFound,), summary="Read one of your bookmarks")
async def get_bookmark(bookmark_id: UUID, ask: Ask) -> BookmarkView:
    return await ask(GetBookmark(bookmark_id=bookmark_id))


@router.patch(
    "/bookmarks/{bookmark_id}",
    visible=_is_there,
    raises=(BookmarkNotFound,),
    summary="Call a link something else, or say more about it",
)
async def update_bookmark(bookmark_id: UUID, changes: BookmarkChanges, execute: Execute) -> BookmarkView:
    return await execute(UpdateBookmark(bookmark_id=bookmark_id, changes=changes))


@router.delete("/bookmarks/{bookmark_id}", raises=(BookmarkNotFound,), summary="Keep a link no longer")
async def delete_bookmark(bookmark_id: UUID, execute: Execute) -> None:
    await execute(DeleteBookmark(bookmark_id=bookmark_id))


# ── Command line ─────────────────────────────────────────────────────────────────────────────────

commands: Final = typer.Typer(name="bookmarks", help="Links worth keeping.", no_args_is_help=True)


@commands.command("import", epilog="Example: platform bookmarks import anna links.txt")
def import_(
    username: Annotated[str, typer.Argument(help="Whose bookmarks they become.")],
    file: Annotated[Path, typer.Argument(help="One link on each line.", exists=True, dir_okay=False)],
) -> None:
    """Keep every link of a text file for somebody; those that they keep already are skipped."""
    urls = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    command = ImportBookmarks(username=username, urls=urls)
    count = with_kernel(lambda kernel: kernel.bus.execute(command))
    typer.echo(f"{username} keeps {count} more {'link' if count == 1 else 'links'}.")
