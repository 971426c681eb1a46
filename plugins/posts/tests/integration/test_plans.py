"""A page of posts, and what is rare among them, is found without reading every post."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from psycopg import RawCursor

from platform_core.testing import RunningPlatform
from user_management.testing import Account

_POSTS = """
INSERT INTO posts.posts (id, version, created_at, updated_at, author_id, slug, title, body, tags, published_at)
SELECT platform.uuid7(), 1, now(), now(), users.id, 'slug-' || n, 'Title ' || n,
       'common words and the number n' || n, ARRAY['common', 'tag' || n], now()
FROM user_management.users, generate_series(1, 20000) n WHERE username = 'editor'
"""
_PAGES = """
INSERT INTO posts.pages (id, position, version, author_id, slug, title, body_html, excerpt, tags, published_at, search)
SELECT id, 1, 1, author_id, slug, title, body, body, tags, published_at, to_tsvector('simple', body) FROM posts.posts
"""


@pytest.fixture
async def many(p: RunningPlatform, editor: Account) -> None:
    for statement in (_POSTS, _PAGES, "ANALYZE posts.posts", "ANALYZE posts.pages"):
        await p.sql(statement)


@pytest.mark.usefixtures("many")
async def test_the_newest_page_is_got_without_the_rest_being_read(
    p: RunningPlatform, eve: Account, editor: Account
) -> None:
    """Red without an order in both parts: each part is read to its end, and comments are counted for all of it."""
    found, plan = await _listed(p, eve, {"limit": "2"})
    newest = await p.sql("SELECT title FROM posts.pages ORDER BY published_at DESC, id DESC LIMIT 2")
    assert found == [row["title"] for row in newest]
    assert "ix_pages_published_at" in plan
    assert "Seq Scan on pages" not in plan
    newest = await p.sql("SELECT title FROM posts.posts ORDER BY published_at DESC, id DESC LIMIT 2")
    found, plan = await _listed(p, editor, {"limit": "2"})
    assert found == [row["title"] for row in newest]
    assert "ix_posts_listed" in plan
    assert "Seq Scan on posts" not in plan


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("asked", "index"), [({"q": "n77"}, "ix_posts_words"), ({"tag": "tag77"}, "ix_posts_tags")]
)
async def test_who_looks_after_all_posts_finds_rare_words_and_tags_by_an_index(
    p: RunningPlatform, editor: Account, asked: dict[str, str], index: str
) -> None:
    found, plan = await _listed(p, editor, asked)
    assert found == ["Title 77"]
    assert index in plan


@pytest.mark.usefixtures("many")
async def test_comments_are_counted_for_a_page_and_not_for_every_post_that_has_a_word(
    p: RunningPlatform, eve: Account
) -> None:
    """Red with the count in both parts, below the limit: 20,000 of them."""
    _, plan = await _listed(p, eve, {"q": "common", "limit": "2"}, how="ANALYZE")
    counts = [int(count) for count in re.findall(r"ix_comments_post_id.* loops=(\d+)", plan)]
    assert sum(counts) == 2 + 1, plan


async def _listed(
    p: RunningPlatform, account: Account, asked: dict[str, str], how: str = "COSTS"
) -> tuple[list[str], str]:
    """Return the titles in the answer, and how PostgreSQL came to it."""
    sent: list[tuple[str, Sequence[Any]]] = []
    p.kernel.pools.watchers.append(lambda _module, _purpose, sql, values: sent.append((sql, values)))
    answer = await account.client.get("/api/v1/posts", params=asked)
    [(sql, values)] = [one for one in sent if "posts.posts" in one[0]]
    with psycopg.connect(p.database_url) as connection:
        rows = RawCursor(connection).execute(f"EXPLAIN ({how}) {sql}".encode(), values).fetchall()
    return [post["title"] for post in answer.json()["items"]], "\n".join(line for (line,) in rows)
