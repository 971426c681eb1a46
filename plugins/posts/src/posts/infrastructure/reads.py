"""
The read side: one statement per question.

Others' posts come from the read model. One's own, and everybody's for who looks after all of them, are as they were
written last, with the read model's page where that is of the same version: so whoever has just changed a post sees the
change, however late the handlers are.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    null,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from platform_core.context import Context
from platform_core.db import Reads, where
from platform_core.domain import Page
from platform_core.ports import Copy
from platform_core.security import Principal
from posts.application.ports import Renderer
from posts.application.queries import GetPost, ListComments, ListPosts, MayChange, MayRead
from posts.contracts import AuthorView, CommentView, PostView
from posts.domain import WRITE, NotYourPost, PostNotFound, readable_by, tidy_tags
from posts.infrastructure.copies import PageCopies
from posts.infrastructure.tables import LANGUAGE, LISTED_AT, WORDS, authors, comments, pages, posts
from user_management import UserDirectory, UserView

Row = Mapping[str, Any]

_VIEWER: Final = bindparam("viewer", type_=Uuid)
_POST_ID: Final = bindparam("post", type_=Uuid)
_NAME: Final = (
    authors.c.user_id.is_not(None).label("is_author_known"),
    authors.c.username,
    authors.c.full_name,
)


def _comment_count(post_id: ColumnElement[Any]) -> ColumnElement[int]:
    return (
        select(func.count())
        .where(comments.c.post_id == post_id, comments.c.deleted_at.is_(None))
        .scalar_subquery()
        .label("comment_count")
    )


_SHOWN: Final = (
    select(
        pages.c.id,
        pages.c.published_at.label("listed_at"),
        pages.c.author_id,
        pages.c.slug,
        pages.c.title,
        pages.c.tags,
        pages.c.published_at,
        pages.c.body_html,
        pages.c.excerpt,
        null().cast(Text).label("body"),
        *_NAME,
    )
    .select_from(pages.outerjoin(authors, authors.c.user_id == pages.c.author_id))
    .where(pages.c.published_at.is_not(None))
)
"""What everybody may read, as the read model shows it."""


def _written(source: FromClause) -> Select[Any]:
    return select(
        source.c.id,
        func.coalesce(source.c.published_at, source.c.created_at).label("listed_at"),
        source.c.author_id,
        source.c.slug,
        source.c.title,
        source.c.tags,
        source.c.published_at,
        pages.c.body_html,
        pages.c.excerpt,
        case((pages.c.id.is_(None), source.c.body)).label("body"),
        *_NAME,
    ).select_from(
        source.outerjoin(
            pages, and_(pages.c.id == source.c.id, pages.c.version == source.c.version)
        ).outerjoin(authors, authors.c.user_id == source.c.author_id)
    )


_THERE: Final = posts.c.deleted_at.is_(None)
_WRITTEN: Final = _written(posts).where(_THERE)
"""What was written; `body` only where the read model is not as far yet."""


class _Question(NamedTuple):
    """Which filters a statement has."""

    one: bool = False
    tag: bool = False
    author: bool = False
    q: bool = False

    @property
    def is_search(self) -> bool:
        """Whether an index of words or tags answers it, and not the order."""
        return self.tag or self.q


class _Statement(NamedTuple):
    """A statement, and what its rows are ordered by."""

    select: Select[Any]
    order: tuple[ColumnElement[Any], ...]


@functools.cache
def _visible(question: _Question, looks_after_all: bool) -> _Statement:
    """Return the statement for what the caller may read; there are eighteen of them."""
    if looks_after_all:
        return _everybodys(question)
    written = _asked(_WRITTEN, question, posts, WORDS)
    own = written.where(posts.c.author_id == _VIEWER)
    others = _asked(_SHOWN, question, pages, pages.c.search).where(pages.c.author_id != _VIEWER)
    if not question.is_search:
        # in the order of an index each, so that a page takes a page's rows of both and not every post
        others = others.order_by(pages.c.published_at.desc(), pages.c.id.desc())
        own = own.order_by(LISTED_AT.desc(), posts.c.id.desc())
    return _counted(union_all(others, own).subquery("readable"))


def _counted(readable: FromClause) -> _Statement:
    """Return the statement that counts comments of those that are on the page, and of no others."""
    counted = select(readable, _comment_count(readable.c.id))
    return _Statement(counted, (readable.c.listed_at, readable.c.id))


def _everybodys(question: _Question) -> _Statement:
    """
    Return the statement for who looks after all posts.

    What has a word or a tag is found first, and OFFSET 0 keeps it so: asked for the newest of them, PostgreSQL takes
    it that one will come soon, goes from post to post, and reads every one for a word that is rare.
    """
    if not question.is_search:
        return _counted(_asked(_WRITTEN, question, posts, WORDS).subquery("readable"))
    wanted = _asked(select(posts).where(_THERE), question, posts, WORDS)
    found = wanted.offset(literal_column("0", Integer)).subquery("found")
    return _counted(_written(found).subquery("readable"))


def _asked(statement: Select[Any], question: _Question, table: Any, words: ColumnElement[Any]) -> Select[Any]:
    if question.one:
        statement = statement.where(table.c.id == _POST_ID)
    if question.tag:
        statement = statement.where(table.c.tags.op("@>")(bindparam("tags", type_=ARRAY(Text))))
    if question.author:
        statement = statement.where(table.c.author_id == bindparam("author", type_=Uuid))
    if question.q:
        wanted = func.websearch_to_tsquery(LANGUAGE, bindparam("q", type_=Text))
        statement = statement.where(words.op("@@")(wanted))
    return statement


# ── Posts ────────────────────────────────────────────────────────────────────────────────────────


async def get_post(
    query: GetPost,
    reads: Reads,
    copies: PageCopies,
    renderer: Renderer,
    directory: UserDirectory,
    principal: Principal,
    context: Context,
) -> PostView:
    """Copies are for those who only read: not for who may have changed it, and not where something hangs on it."""
    viewer, looks_after_all = principal.require_user(), principal.can(WRITE)
    copy: Copy | None = None
    if not (looks_after_all or context.primary_reads):
        known, copy = await copies.look(query.post_id)
        if known is not None and known.author.id != viewer:
            return known
    statement = _visible(_Question(one=True), looks_after_all).select
    row = await reads.one(statement, {"post": query.post_id, "viewer": viewer})
    if row is None:
        raise PostNotFound
    [view] = await _views([row], renderer, directory)
    if copy is not None and view.author.id != viewer:
        await copies.keep(view, copy)
    return view


async def list_posts(
    query: ListPosts, reads: Reads, renderer: Renderer, directory: UserDirectory, principal: Principal
) -> Page[PostView]:
    question = _Question(tag=query.tag is not None, author=query.author_id is not None, q=query.q is not None)
    statement, order = _visible(question, principal.can(WRITE))
    values = {
        "viewer": principal.require_user(),
        "tags": tidy_tags([query.tag]) if query.tag else [],
        "author": query.author_id,
        "q": query.q,
    }
    found = await reads.page(statement, query.page, lambda row: row, order=order, values=values)
    return Page(await _views(found.items, renderer, directory), found.next_cursor)


async def _views(rows: Sequence[Row], renderer: Renderer, directory: UserDirectory) -> list[PostView]:
    people = await _strangers(rows, directory)
    return [await _view(row, people, renderer) for row in rows]


async def _view(row: Row, people: Mapping[UUID, UserView], renderer: Renderer) -> PostView:
    html, excerpt = row["body_html"], row["excerpt"]
    if row["body"] is not None:
        rendered = await renderer.render(row["body"])
        html, excerpt = rendered.html, rendered.excerpt
    return PostView(
        id=row["id"],
        slug=row["slug"],
        title=row["title"],
        body_html=html,
        excerpt=excerpt,
        tags=row["tags"],
        author=_author(row, people),
        comment_count=row["comment_count"],
        published_at=row["published_at"],
    )


async def _strangers(rows: Sequence[Row], directory: UserDirectory) -> Mapping[UUID, UserView]:
    """Ask for the names of authors of whom no event told: accounts may be older than this module's tables."""
    unknown = {row["author_id"] for row in rows if not row["is_author_known"]}
    return await directory.get_many(unknown) if unknown else {}


def _author(row: Row, people: Mapping[UUID, UserView]) -> AuthorView:
    person = people.get(row["author_id"])
    if person is not None:
        return AuthorView(id=person.id, username=person.username, full_name=person.full_name)
    return AuthorView(id=row["author_id"], username=row["username"], full_name=row["full_name"])


# ── Who may ──────────────────────────────────────────────────────────────────────────────────────

_MAY: Final = select(
    (posts.c.author_id == _VIEWER).label("is_own"),
    where(readable_by(_VIEWER), posts).label("is_readable"),
).where(posts.c.id == _POST_ID, posts.c.deleted_at.is_(None))


async def may_read(query: MayRead, reads: Reads, principal: Principal) -> None:
    await _rights(query.post_id, reads, principal)


async def may_change(query: MayChange, reads: Reads, principal: Principal) -> None:
    if not await _rights(query.post_id, reads, principal):
        raise NotYourPost


async def _rights(post_id: UUID, reads: Reads, principal: Principal) -> bool:
    """Return whether the caller may change a post; raises `PostNotFound` where they may not even read it."""
    row = await reads.one(_MAY, {"post": post_id, "viewer": principal.require_user()})
    looks_after_all = principal.can(WRITE)
    if row is None or not (row["is_readable"] or looks_after_all):
        raise PostNotFound
    return bool(row["is_own"]) or looks_after_all


# ── Comments ─────────────────────────────────────────────────────────────────────────────────────

_ALL_COMMENTS: Final = (
    select(
        comments.c.id,
        comments.c.post_id,
        comments.c.author_id,
        comments.c.body,
        comments.c.created_at,
        *_NAME,
    )
    .select_from(
        comments.join(posts, posts.c.id == comments.c.post_id).outerjoin(
            authors, authors.c.user_id == comments.c.author_id
        )
    )
    .where(comments.c.post_id == _POST_ID, comments.c.deleted_at.is_(None), posts.c.deleted_at.is_(None))
)
_COMMENTS: Final = _ALL_COMMENTS.where(where(readable_by(_VIEWER), posts))
_BY_COMMENT: Final = (comments.c.id,)


async def list_comments(
    query: ListComments, reads: Reads, directory: UserDirectory, principal: Principal
) -> Page[CommentView]:
    """Where there is none, a second statement tells whether the caller may know that."""
    statement = _ALL_COMMENTS if principal.can(WRITE) else _COMMENTS
    values = {"post": query.post_id, "viewer": principal.require_user()}
    found = await reads.page(statement, query.page, lambda row: row, order=_BY_COMMENT, values=values)
    if not found.items:
        await _rights(query.post_id, reads, principal)
    people = await _strangers(found.items, directory)
    return Page([_comment(row, people) for row in found.items], found.next_cursor)


def _comment(row: Row, people: Mapping[UUID, UserView]) -> CommentView:
    return CommentView(
        id=row["id"],
        post_id=row["post_id"],
        author=_author(row, people),
        body=row["body"],
        created_at=row["created_at"],
    )
