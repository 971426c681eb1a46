"""
The tables of posts.

What is written: `posts`, `comments`. What is read, made of events and of nothing else: `pages`, `authors`.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR

from platform_core.db import AggregateMap, aggregate_columns, module_metadata
from posts.domain import Comment, Post

METADATA: Final = module_metadata("posts")

LANGUAGE: Final[ColumnElement[str]] = literal_column("'simple'::regconfig")
"""Words as they are written: nobody says which language a post is in."""

_THERE: Final = text("deleted_at IS NULL")
_PUBLISHED: Final = text("published_at IS NOT NULL")

_LISTED_AT: Final = text("COALESCE(published_at, created_at)")

posts = Table(
    "posts",
    METADATA,
    *aggregate_columns(),
    Column("author_id", Uuid, nullable=False),
    Column("slug", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("tags", ARRAY(Text), nullable=False),
    Column("published_at", DateTime(timezone=True)),
    Index("uq_posts_slug", "slug", unique=True),
    Index("ix_posts_listed", _LISTED_AT, "id", postgresql_where=_THERE),
    Index("ix_posts_author_listed", "author_id", _LISTED_AT, "id", postgresql_where=_THERE),
    Index("ix_posts_tags", "tags", postgresql_using="gin", postgresql_where=_THERE),
    Index(
        "ix_posts_words",
        text("to_tsvector('simple'::regconfig, (title || ' ') || body)"),
        postgresql_using="gin",
        postgresql_where=_THERE,
    ),
    comment="Posts as they are written, in Markdown; commands look here.",
)

WORDS: Final = func.to_tsvector(LANGUAGE, posts.c.title + literal_column("' '", Text) + posts.c.body)
"""What a post as it is written is found by: what `ix_posts_words` holds, without a parameter, or it is of no use."""

LISTED_AT: Final = func.coalesce(posts.c.published_at, posts.c.created_at)
"""Where a post stands in a list: when it was published, and as long as it is a draft, when it was begun."""

comments = Table(
    "comments",
    METADATA,
    *aggregate_columns(),
    Column("post_id", Uuid, ForeignKey(posts.c.id), nullable=False),
    Column("author_id", Uuid, nullable=False),
    Column("body", Text, nullable=False),
    Index("ix_comments_post_id", "post_id", "id", postgresql_where=_THERE),
    comment="What was said about posts.",
)

pages = Table(
    "pages",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("author_id", Uuid),
    Column("slug", Text),
    Column("title", Text),
    Column("body_html", Text),
    Column("excerpt", Text),
    Column("tags", ARRAY(Text)),
    Column("published_at", DateTime(timezone=True)),
    Column("search", TSVECTOR),
    Index("ix_pages_published_at", "published_at", "id", postgresql_where=_PUBLISHED),
    Index("ix_pages_author_published_at", "author_id", "published_at", "id", postgresql_where=_PUBLISHED),
    Index("ix_pages_tags", "tags", postgresql_using="gin"),
    Index("ix_pages_search", "search", postgresql_using="gin"),
    comment="The read model: posts as of the event at `position`; of a deleted one nothing but that is left.",
)

authors = Table(
    "authors",
    METADATA,
    Column("user_id", Uuid, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("username", Text),
    Column("full_name", Text),
    comment="The read model: what people are called as of the event at `position`; no username: they are gone.",
)

POSTS: Final = AggregateMap(Post, posts, name="posts.post")
COMMENTS: Final = AggregateMap(Comment, comments, name="posts.comment")
