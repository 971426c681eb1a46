"""For tests, of this plugin and of those that need posts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from httpx2 import AsyncClient

__all__ = ["FACTORIES", "add_comment", "make_post", "settings_for_tests"]


def settings_for_tests() -> Mapping[str, str]:
    """Return what this plugin needs to start under test: nothing."""
    return {}


async def make_post(
    client: AsyncClient,
    title: str = "Reading maps",
    body: str = "Contours, *scales*, and how not to get lost.",
    *,
    tags: Sequence[str] = (),
    publish: bool = True,
) -> dict[str, Any]:
    """Write a post over HTTP, publish it unless it is to stay a draft, and return it as its author sees it."""
    answer = await client.post("/api/v1/posts", json={"title": title, "body": body, "tags": list(tags)})
    assert answer.status_code == 201, answer.text  # noqa: S101  # assertions are its product
    post: dict[str, Any] = answer.json()
    if publish:
        answer = await client.post(f"/api/v1/posts/{post['id']}/publish")
        assert answer.status_code == 200, answer.text  # noqa: S101  # as above
        post = answer.json()
    return post


async def add_comment(
    client: AsyncClient, post: Mapping[str, Any], body: str = "Well said."
) -> dict[str, Any]:
    """Say something about a post over HTTP."""
    answer = await client.post(f"/api/v1/posts/{post['id']}/comments", json={"body": body})
    assert answer.status_code == 201, answer.text  # noqa: S101  # as above
    comment: dict[str, Any] = answer.json()
    return comment


FACTORIES: Final = {"posts.post": make_post, "posts.comment": add_comment}
"""What makes one of each aggregate."""
