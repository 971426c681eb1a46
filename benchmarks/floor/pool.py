"""Connections of the floor: as many as callers, the latest used first, so that its plans are warm."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import dict_row

Row = dict[str, Any]


class Pool:
    """A stack of connections in autocommit; opened when first needed, never closed."""

    def __init__(self, url: str, size: int) -> None:
        self._url, self._places = url, asyncio.Semaphore(size)
        self._idle: list[psycopg.AsyncConnection[Row]] = []

    async def fetch(self, sql: str, params: Mapping[str, Any]) -> list[Row]:
        """Run one statement, which is one round trip, and return its rows."""
        async with self._places:
            connection = self._idle.pop() if self._idle else await self._connect()
            try:
                return await (await connection.execute(sql, params)).fetchall()
            finally:
                self._idle.append(connection)

    async def _connect(self) -> psycopg.AsyncConnection[Row]:
        return await psycopg.AsyncConnection.connect(self._url, autocommit=True, row_factory=dict_row)
