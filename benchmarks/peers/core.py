"""
A bare FastAPI + SQLAlchemy Core program: response models, one statement in autocommit per read, a transaction per
write, a token check; no session, permission, limit, trail, idempotency, metric or trace.

    uvicorn --factory benchmarks.peers.core:app
"""

from typing import Any
from uuid import UUID

from fastapi import FastAPI, HTTPException, Response
from sqlalchemy import Select, func, select, text, update
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.ground import Handout
from benchmarks.peers.callers import Claims
from benchmarks.peers.views import ProfileChanges, ProfileView, UserPage, UserView
from user_management.infrastructure.tables import roles, user_roles, users

_LAST = UUID(int=(1 << 128) - 1)
_ROLES = (
    select(func.coalesce(func.array_agg(roles.c.name), text("'{}'")))
    .select_from(user_roles.join(roles))
    .where(user_roles.c.user_id == users.c.id, roles.c.deleted_at.is_(None))
    .scalar_subquery()
    .label("roles")
)
_OUTBOX = text(
    "INSERT INTO floor.outbox (name, payload)"
    " VALUES ('user_renamed', jsonb_build_object('user_id', CAST(:id AS text), 'full_name', CAST(:name AS text)))"
)


def app() -> FastAPI:
    """Return the program as an application; where its database is comes from the environment."""
    handout = Handout.read()
    engine = create_async_engine(
        handout.database_url.replace("postgresql://", "postgresql+psycopg://"),
        pool_size=handout.pool_size,
        max_overflow=0,
    )
    reads = engine.execution_options(isolation_level="AUTOCOMMIT")
    api = FastAPI(openapi_url=None)
    api.state.secret = handout.floor_secret

    async def fetch(statement: Select[Any]) -> list[dict[str, Any]]:
        async with reads.connect() as connection:
            return [dict(row) for row in (await connection.execute(statement)).mappings()]

    @api.get("/ready")
    async def ready() -> Response:
        return Response("ready")

    @api.get("/users/{user_id}")
    async def get_user(user_id: UUID, claims: Claims) -> UserView:
        rows = await fetch(_of(UserView).where(users.c.id == user_id))
        if not rows:
            raise HTTPException(404)
        return UserView(**rows[0])

    @api.get("/users")
    async def list_users(claims: Claims, limit: int = 20, cursor: UUID = _LAST) -> UserPage:
        statement = _of(UserView).where(users.c.id < cursor).order_by(users.c.id.desc()).limit(limit + 1)
        rows = await fetch(statement)
        following = rows[limit - 1]["id"] if len(rows) > limit else None
        return UserPage(items=[UserView(**row) for row in rows[:limit]], next_cursor=following)

    @api.patch("/users/me")
    async def update_me(changes: ProfileChanges, claims: Claims) -> ProfileView:
        user_id = UUID(claims["sub"])
        values = {"full_name": changes.full_name, "version": users.c.version + 1, "updated_at": func.now()}
        async with engine.begin() as connection:
            await connection.execute(update(users).where(users.c.id == user_id).values(values))
            await connection.execute(_OUTBOX, {"id": str(user_id), "name": changes.full_name})
            rows = await connection.execute(_of(ProfileView).where(users.c.id == user_id))
            return ProfileView(**rows.mappings().one())

    return api


def _of(view: type[UserView]) -> Select[Any]:
    columns = [users.c[name] for name in view.model_fields if name != "roles"]
    return select(*columns, _ROLES).where(users.c.deleted_at.is_(None))
