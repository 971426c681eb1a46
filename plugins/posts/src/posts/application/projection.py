"""
The read model follows events: of posts, and of what their authors are called.

Nothing here asks what is true now; each event says all that there is to show, so the same events, once more and in
whatever order, make the same pages.
"""

from __future__ import annotations

from platform_core.ports import EventMetadata
from posts.application.ports import Authors, Page, Pages, Renderer
from posts.contracts import PostCreated, PostDeleted, PostPublished, PostUpdated
from user_management import UserAdded, UserDeleted, UserInvited, UserRegistered, UserRenamed


async def show_post(
    event: PostCreated | PostUpdated | PostPublished,
    pages: Pages,
    renderer: Renderer,
    metadata: EventMetadata,
) -> None:
    """Show what a post says now."""
    state, rendered = event.state, await renderer.render(event.state.body)
    pages.show(
        Page(
            id=event.post_id,
            position=metadata.position,
            version=event.version,
            author_id=state.author_id,
            slug=state.slug,
            title=state.title,
            body_html=rendered.html,
            excerpt=rendered.excerpt,
            text=rendered.text,
            tags=state.tags,
            published_at=state.published_at,
        )
    )


async def remove_post(event: PostDeleted, pages: Pages, metadata: EventMetadata) -> None:
    """Show a post no longer."""
    pages.remove(event.post_id, metadata.position, event.version)


async def name_author(
    event: UserRegistered | UserInvited | UserAdded | UserRenamed, authors: Authors, metadata: EventMetadata
) -> None:
    """Call an author as they want to be called."""
    await authors.call(event.user_id, metadata.position, event.username, event.full_name)


async def forget_author(event: UserDeleted, authors: Authors, metadata: EventMetadata) -> None:
    """Call an author nothing any more."""
    await authors.call(event.user_id, metadata.position, None, None)
