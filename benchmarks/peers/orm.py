"""
FastAPI + SQLAlchemy ORM as usually written by hand: a session per request, relations loaded, response models.

    uvicorn --factory benchmarks.peers.orm:app
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

from benchmarks.ground import Handout
from benchmarks.peers.callers import Claims
from benchmarks.peers.views import ProfileChanges, ProfileView, UserPage, UserView
from user_management.infrastructure import tables

_LAST = UUID(int=(1 << 128) - 1)


class _Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSONB}  # noqa: RUF012  # SQLAlchemy's own way to configure it


class _Role(_Base):
    __table__ = tables.roles
    if TYPE_CHECKING:
        name: Mapped[str]


class _User(_Base):
    __table__ = tables.users
    if TYPE_CHECKING:
        id: Mapped[UUID]
        version: Mapped[int]
        full_name: Mapped[str | None]
        updated_at: Mapped[datetime]
        deleted_at: Mapped[datetime | None]
    held: Mapped[list[_Role]] = relationship(secondary=tables.user_roles)

    @property
    def roles(self) -> list[str]:
        return sorted(role.name for role in self.held)


class _Outbox(_Base):
    __tablename__ = "outbox"
    __table_args__ = {"schema": "floor"}  # noqa: RUF012  # SQLAlchemy's own way to configure it
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    payload: Mapped[dict[str, Any]]


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(_session)]


def app() -> FastAPI:
    """Return the program as an application; where its database is comes from the environment."""
    handout = Handout.read()
    engine = create_async_engine(
        handout.database_url.replace("postgresql://", "postgresql+psycopg://"),
        pool_size=handout.pool_size,
        max_overflow=0,
    )
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    api = FastAPI(openapi_url=None)
    api.state.secret, api.state.sessions = handout.floor_secret, sessions

    @api.get("/ready")
    async def ready() -> Response:
        return Response("ready")

    @api.get("/users/{user_id}")
    async def get_user(user_id: UUID, claims: Claims, session: Session) -> UserView:
        user = await session.get(_User, user_id, options=[selectinload(_User.held)])
        if user is None or user.deleted_at is not None:
            raise HTTPException(404)
        return UserView.model_validate(user, from_attributes=True)

    @api.get("/users")
    async def list_users(claims: Claims, session: Session, limit: int = 20, cursor: UUID = _LAST) -> UserPage:
        found = await session.scalars(
            select(_User)
            .where(_User.deleted_at.is_(None), _User.id < cursor)
            .order_by(_User.id.desc())
            .limit(limit + 1)
            .options(selectinload(_User.held))
        )
        people = found.all()
        items = [UserView.model_validate(user, from_attributes=True) for user in people[:limit]]
        return UserPage(items=items, next_cursor=people[limit - 1].id if len(people) > limit else None)

    @api.patch("/users/me")
    async def update_me(changes: ProfileChanges, claims: Claims, session: Session) -> ProfileView:
        user = await session.get(_User, UUID(claims["sub"]), options=[selectinload(_User.held)])
        if user is None:
            raise HTTPException(404)
        user.full_name, user.version = changes.full_name, user.version + 1
        user.updated_at = datetime.now(UTC)
        payload = {"user_id": claims["sub"], "full_name": changes.full_name}
        session.add(_Outbox(name="user_renamed", payload=payload))
        await session.commit()
        return ProfileView.model_validate(user, from_attributes=True)

    return api
