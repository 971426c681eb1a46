"""Who looks after all posts finds among many without reading each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from psycopg import RawCursor

from platform_core.testing import RunningPlatform
from user_management.testing import Account

_MANY = """
INSERT INTO posts.posts (id, version, created_at, updated_at, author_id, slug, title, body, tags, published_at)
SELECT platform.uuid7(), 1, now(), now(), users.id, 'slug-' || n, 'Title ' || n,
       'common words and the number n' || n, ARRAY['common', 'tag' || n], now()
FROM user_management.users, generate_series(1, 20000) n WHERE username = 'editor'
"""


@pytest.mark.parametrize(
    ("asked", "index"), [({"q": "n77"}, "ix_posts_words"), ({"tag": "tag77"}, "ix_posts_tags")]
)
async def test_rare_words_and_tags_are_found_by_an_index_among_all_posts(
    p: RunningPlatform, editor: Account, asked: dict[str, str], index: str
) -> None:
    await p.sql(_MANY)
    await p.sql("ANALYZE posts.posts")
    sent: list[tuple[str, Sequence[Any]]] = []
    p.kernel.pools.watchers.append(lambda module, _, sql, values: sent.append((sql, values)))
    answer = await editor.client.get("/api/v1/posts", params=asked)
    assert [post["title"] for post in answer.json()["items"]] == ["Title 77"]
    [(sql, values)] = [one for one in sent if "posts.posts" in one[0]]
    assert index in _plan(p, sql, values)


def _plan(p: RunningPlatform, sql: str, values: Sequence[Any]) -> str:
    with psycopg.connect(p.database_url) as connection:
        rows = RawCursor(connection).execute(f"EXPLAIN {sql}".encode(), values).fetchall()
    return "\n".join(line for (line,) in rows)
