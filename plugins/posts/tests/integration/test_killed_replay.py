"""A process that makes the read model anew is killed; whoever comes next goes on."""

from __future__ import annotations

import re
from typing import Any

import pytest

from platform_core.testing import RunningPlatform, RunPlatform

pytestmark = [pytest.mark.long, pytest.mark.processes]

_POSTS_COUNT = 1500

_EVENTS = """
WITH written AS (SELECT platform.uuid7() AS id, n FROM generate_series(1, %(count)s) AS n)
INSERT INTO audit.domain_events
    (id, name, version, aggregate_type, aggregate_id, payload, correlation_id, occurred_at)
SELECT platform.uuid7(), kind.name, 1, 'posts.post', w.id, jsonb_build_object('post_id', w.id,
    'version', kind.version, 'state', jsonb_build_object('author_id', w.id, 'slug', 's' || w.n, 'title', 'Post ' || w.n,
    'body', '*' || w.n || '*', 'tags', '["a"]'::jsonb, 'published_at', kind.at)), 'test', now()
FROM written w CROSS JOIN (VALUES ('posts.post_created', 1, NULL), ('posts.post_published', 2, now()))
    AS kind(name, version, at)
ORDER BY w.n, kind.version
"""


async def standing(p: RunningPlatform) -> dict[str, Any]:
    [row] = await p.sql(
        "SELECT status, done_count, total_count FROM platform.projections WHERE name = 'posts'"
    )
    return row


async def test_a_replay_whose_process_is_killed_is_carried_on_by_the_next(
    p: RunningPlatform, run_platform: RunPlatform
) -> None:
    """Red when the next one begins at the beginning."""
    await p.sql(_EVENTS, count=_POSTS_COUNT)
    command = ("projections", "rebuild", "posts")
    with run_platform(*command, env=p.environment, ready=rf"\d+ of {_POSTS_COUNT} aggregates") as first:
        first.kill()
    cut_off = await standing(p)
    assert cut_off["status"] == "replaying"
    assert 0 < cut_off["done_count"] < _POSTS_COUNT
    [half] = await p.sql("SELECT count(*) AS n FROM posts.pages")
    assert half["n"] == cut_off["done_count"]
    with run_platform(*command, env=p.environment) as second:
        assert second.wait(timeout_seconds=120) == 0, second.output
        told = re.findall(rf"^(\d+) of {_POSTS_COUNT} aggregates$", second.output, re.MULTILINE)
    assert await standing(p) == {"status": "live", "done_count": _POSTS_COUNT, "total_count": _POSTS_COUNT}
    assert min(map(int, told)) > cut_off["done_count"]
    [whole] = await p.sql(
        "SELECT count(*) AS n FROM posts.pages"
        " WHERE published_at IS NOT NULL AND version = 2 AND body_html LIKE '<p><em>%%'"
    )
    assert whole["n"] == _POSTS_COUNT
