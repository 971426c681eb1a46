"""What a post is called, who may change it, and what it tells of itself."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from platform_core.errors import InvalidInput
from posts.contracts import PostCreated, PostDeleted, PostPublished, PostUpdated
from posts.domain import Comment, NotYourPost, Post, PostNotFound, slug_of, tidy_tags

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ID, EVE, BEN = UUID(int=1), UUID(int=2), UUID(int=3)


def draft() -> Post:
    return Post.draft(ID, author_id=EVE, title="Maps", body="*Maps*", tags=["a"], now=NOW)


def stored(post: Post) -> Post:
    post.mark_stored()
    post.release_events()
    return post


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Reading maps", "reading-maps-00000001"),
        ("  Äpfel & Öl!  ", "apfel-ol-00000001"),
        ("地図", "post-00000001"),
        ("x" * 200, f"{'x' * 80}-00000001"),
        ("../../etc/passwd\r\n", "etc-passwd-00000001"),
    ],
)
def test_a_slug_is_safe_in_an_address(title: str, slug: str) -> None:
    assert slug_of(title, ID) == slug


def test_tags_are_tidy() -> None:
    assert tidy_tags([" Maps ", "maps", "old   MAPS", " "]) == ["maps", "old maps"]


def test_each_change_tells_all_of_the_post_and_its_version() -> None:
    post = draft()
    [created] = post.release_events()
    assert isinstance(created, PostCreated)
    assert (created.version, created.state.body, created.state.published_at) == (1, "*Maps*", None)
    post.mark_stored()
    post.rewrite(title="Old maps", body="*Maps*", tags=["a"], now=NOW)
    [updated] = post.release_events()
    assert isinstance(updated, PostUpdated)
    assert (updated.version, updated.state.title, updated.state.slug) == (2, "Old maps", "old-maps-00000001")
    post.mark_stored()
    post.publish(NOW)
    [published] = post.release_events()
    assert isinstance(published, PostPublished)
    assert (published.version, published.state.published_at) == (3, NOW)
    post.mark_stored()
    post.remove(NOW)
    assert post.release_events() == [PostDeleted(post_id=ID, version=4)]


def test_nothing_happens_where_nothing_changes() -> None:
    post = stored(draft())
    post.rewrite(title="Maps", body="*Maps*", tags=["A "], now=NOW)
    post.publish(NOW)
    assert len(post.release_events()) == 1
    post.publish(NOW)
    assert post.release_events() == []


def test_an_address_that_others_may_know_stays() -> None:
    post = stored(draft())
    post.publish(NOW)
    post.rewrite(title="Quite another", body="x", tags=[], now=NOW)
    assert post.slug == "maps-00000001"


def test_a_draft_is_not_there_for_others_and_a_published_post_is_not_theirs() -> None:
    post = draft()
    post.require_writer(EVE, looks_after_all=False)
    post.require_writer(BEN, looks_after_all=True)
    with pytest.raises(PostNotFound):
        post.require_writer(BEN, looks_after_all=False)
    post.publish(NOW)
    with pytest.raises(NotYourPost):
        post.require_writer(BEN, looks_after_all=False)


@pytest.mark.parametrize("body", ["\x00\x01", "\u200b\u2800", " \n\t", "a bell: \x07"])
def test_nobody_writes_what_nobody_can_read(body: str) -> None:
    with pytest.raises(InvalidInput):
        Post.draft(ID, author_id=EVE, title="Maps", body=body, tags=[], now=NOW)
    with pytest.raises(InvalidInput):
        draft().rewrite(title="Maps", body=body, tags=[], now=NOW)
    with pytest.raises(InvalidInput):
        Comment.write(ID, post_id=ID, author_id=BEN, body=body, now=NOW)


def test_what_is_written_stays_markdown() -> None:
    post = Post.draft(ID, author_id=EVE, title="Maps", body="    code\n\nwords\n", tags=[], now=NOW)
    assert post.body == "    code\n\nwords\n"
    assert Comment.write(ID, post_id=ID, author_id=BEN, body=" Well\nsaid. ", now=NOW).body == "Well\nsaid."
