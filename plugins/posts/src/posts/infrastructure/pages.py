"""
The read model, for the handlers that maintain it.

Every row names the position of the event that it shows, and the database refuses to go back: whatever order events
arrive in, the latest one stays.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import ClassVar
from uuid import UUID

from sqlalchemy import Insert, Table, Text, Uuid, bindparam, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from platform_core.db import UnitOfWork
from posts.application.ports import Copies, Page
from posts.infrastructure.tables import LANGUAGE, authors, pages


def _newest(table: Table, key: str, **made: object) -> Insert:
    """Return the statement that writes a row unless there is one of the same or a later event."""
    given = {column.name: bindparam(column.name, type_=column.type) for column in table.c}
    statement = insert(table).values({**given, **made})
    others = {column.name: statement.excluded[column.name] for column in table.c if column.name != key}
    return statement.on_conflict_do_update(
        index_elements=[key], set_=others, where=table.c.position < statement.excluded.position
    )


class SqlPages:
    """`Pages` in PostgreSQL."""

    # every event comes by here, so the statement is made once
    _SHOW: ClassVar = _newest(
        pages,
        "id",
        search=func.setweight(
            func.to_tsvector(LANGUAGE, bindparam("title", type_=Text)), literal_column("'A'")
        ).op("||")(
            func.setweight(func.to_tsvector(LANGUAGE, bindparam("text", type_=Text)), literal_column("'B'"))
        ),
    )
    _REMOVE: ClassVar = _newest(pages, "id")

    def __init__(self, uow: UnitOfWork, copies: Copies) -> None:
        self._uow, self._copies = uow, copies

    def show(self, page: Page) -> None:
        self._copies.outdate([page.id])
        self._uow.write(self._SHOW, asdict(page))

    def remove(self, post_id: UUID, position: int, version: int) -> None:
        self._copies.outdate([post_id])
        nothing = dict.fromkeys((column.name for column in pages.c), None)
        self._uow.write(self._REMOVE, {**nothing, "id": post_id, "position": position, "version": version})


class SqlAuthors:
    """`Authors` in PostgreSQL."""

    _CALL: ClassVar = _newest(authors, "user_id")
    _WRITTEN: ClassVar = select(pages.c.id).where(
        pages.c.author_id == bindparam("author", type_=Uuid), pages.c.published_at.is_not(None)
    )

    def __init__(self, uow: UnitOfWork, copies: Copies) -> None:
        self._uow, self._copies = uow, copies

    async def call(self, user_id: UUID, position: int, username: str | None, full_name: str | None) -> None:
        written = await self._uow.fetch_all(self._WRITTEN, {"author": user_id})
        self._copies.outdate(row["id"] for row in written)
        self._uow.write(
            self._CALL,
            {"user_id": user_id, "position": position, "username": username, "full_name": full_name},
        )
