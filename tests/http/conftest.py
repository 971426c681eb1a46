"""
The kernel's HTTP room with a throw-away module behind it, on real servers: a shop with widgets.

No plugin takes part: the bus is the smallest that runs real units of work, tokens are plain text.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import httpx2
import psycopg
import pytest
from annotated_types import Len
from fastapi import FastAPI, Query, Request, Response, UploadFile
from sqlalchemy import Boolean, Column, Table, Text, Uuid, create_engine, select
from sqlalchemy.dialects.postgresql import ARRAY

from platform_core import _tables, domain
from platform_core._pools import Pools
from platform_core._uow import SqlUnitOfWork
from platform_core.cache import Gate, Redis
from platform_core.clock import SystemClock
from platform_core.context import Context, bind, current
from platform_core.db import AggregateMap, Cursors, Reads, Repository, aggregate_columns, module_metadata
from platform_core.domain import Aggregate, Command, Page, PageRequest, Refused, body, new_id
from platform_core.errors import DomainError, Forbidden, InvalidInput, Kind, NotFound, Unauthenticated
from platform_core.http import Ask, Caller, Execute, PageParams, Router
from platform_core.http.assembly import HttpParts, ModuleRoutes, build_app
from platform_core.http.traffic import Traffic
from platform_core.keys import DerivedKeys
from platform_core.metrics import Metrics
from platform_core.security import Claim, Principal
from platform_core.settings import KernelSettings, read_settings
from platform_core.standings import StandingCache, UowStandings
from platform_core.storage import FileStorage
from platform_core.testing._databases import Databases
from platform_core.testing.chaos import RedisServer

SHOP = module_metadata("shop")
widgets = Table("widgets", SHOP, *aggregate_columns(), Column("name", Text, nullable=False, unique=True))

sessions = Table(
    "sessions",
    SHOP,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, nullable=False),
    Column("permissions", ARRAY(Text), nullable=False),
    Column("is_active", Boolean, nullable=False),
)


class WidgetTaken(DomainError, kind=Kind.CONFLICT):
    """There is a widget of this name already."""


@dataclass(eq=False, kw_only=True)
class Widget(Aggregate):
    name: str


@dataclass(frozen=True, kw_only=True)
class WidgetView:
    id: UUID
    name: str
    version: int


@dataclass(frozen=True, kw_only=True)
class CreateWidget(Command[WidgetView]):
    name: Annotated[str, Len(1, 50)]
    colour: Annotated[str, Len(0, 20)] = ""


@dataclass(frozen=True, kw_only=True)
class RefuseWidget(Command[WidgetView]):
    name: Annotated[str, Len(1, 50)]


@body
@dataclass(frozen=True, kw_only=True)
class NewName:
    name: Annotated[str, Len(1, 50)]


@dataclass(frozen=True, kw_only=True)
class RenameWidget(Command[WidgetView]):
    widget_id: UUID
    name: Annotated[str, Len(1, 50)]


@dataclass(frozen=True, kw_only=True)
class DeleteWidget(Command[None]):
    widget_id: UUID


@dataclass(frozen=True, kw_only=True)
class EndSession(Command[None]):
    session_id: UUID
    users: bool = False


@dataclass(frozen=True, kw_only=True)
class GetWidget(domain.Query[WidgetView]):
    widget_id: UUID


@dataclass(frozen=True, kw_only=True)
class ListWidgets(domain.Query[Page[WidgetView]]):
    page: PageRequest
    q: str | None = None


class Widgets(Repository[Widget]):
    mapping = AggregateMap(Widget, widgets, name="shop.widget", constraints={"uq_widgets_name": WidgetTaken})


def view(row: Any) -> WidgetView:
    return WidgetView(id=row["id"], name=row["name"], version=row["version"])


class TinyBus:
    """Handlers are methods; everything else is as in the kernel's own bus."""

    def __init__(self, pools: Pools, standings: StandingCache, cursors: Cursors) -> None:
        self.pools, self.standings = pools, standings
        self.reads = Reads(pools, "shop", cursors)
        self.before_commit_pause: Callable[[], Awaitable[None]] | None = None
        self.created = 0

    async def execute(self, command: Any, before_commit: Sequence[Any] = ()) -> Any:
        context = Context(
            **{f: getattr(current(), f) for f in ("request_id", "principal")}, primary_reads=True
        )
        with bind(context):
            uow = SqlUnitOfWork(self.pools.commands("shop"), SystemClock(), context)
            try:
                result = await getattr(self, domain.snake_case(type(command).__name__))(command, uow)
                uow.collect()
                if self.before_commit_pause is not None:
                    await self.before_commit_pause()
                for step in before_commit:
                    await step(result, uow)
                await uow.commit()
                await self.standings.forget(uow.revoked)
            finally:
                await uow.close()
        if isinstance(result, Refused):
            raise result.error
        return result

    async def ask(self, query: Any) -> Any:
        return await getattr(self, domain.snake_case(type(query).__name__))(query)

    async def create_widget(self, command: CreateWidget, uow: SqlUnitOfWork) -> WidgetView:
        now = datetime.now(UTC)
        widget = Widget(id=new_id(), name=command.name, created_at=now, updated_at=now)
        Widgets(uow).add(widget)
        self.created += 1
        return WidgetView(id=widget.id, name=widget.name, version=1)

    async def refuse_widget(self, command: RefuseWidget, uow: SqlUnitOfWork) -> Refused:
        await self.create_widget(CreateWidget(name=command.name), uow)
        return Refused(Forbidden("no") if command.name == "forbidden" else WidgetTaken())

    async def rename_widget(self, command: RenameWidget, uow: SqlUnitOfWork) -> WidgetView:
        widget = await Widgets(uow).get(command.widget_id)
        widget.name = command.name
        widget.touch(datetime.now(UTC))
        return WidgetView(id=widget.id, name=widget.name, version=widget.version)

    async def delete_widget(self, command: DeleteWidget, uow: SqlUnitOfWork) -> None:
        (await Widgets(uow).get(command.widget_id)).delete(datetime.now(UTC))

    async def end_session(self, command: EndSession, uow: SqlUnitOfWork) -> None:
        principal = current().principal
        await uow.execute(
            sessions.update().where(sessions.c.id == command.session_id).values(is_active=False)
        )
        if command.users:
            UowStandings(uow).revoke(users=[principal.user_id] if principal.user_id else [])
        else:
            UowStandings(uow).revoke(sessions=[command.session_id])

    async def get_widget(self, query: GetWidget) -> WidgetView:
        row = await self.reads.one(
            select(widgets).where(widgets.c.id == query.widget_id, widgets.c.deleted_at.is_(None))
        )
        if row is None:
            raise NotFound
        return view(row)

    async def list_widgets(self, query: ListWidgets) -> Page[WidgetView]:
        return await self.reads.page(select(widgets), query.page, view, order=(widgets.c.id,))


class PlainTokens:
    """Tokens say in plain text what they claim: `user.session`."""

    scheme = "bearer"

    def __init__(self, pools: Pools) -> None:
        self.pools = pools
        self.asked = 0

    def verify(self, credentials: str) -> Claim:
        user, _, session = credentials.partition(".")
        try:
            return Claim(UUID(user), UUID(session), datetime.now(UTC) + timedelta(minutes=5))
        except ValueError:
            raise Unauthenticated from None

    async def standing(self, claim: Claim) -> Principal | None:
        assert current().primary_reads
        self.asked += 1
        reads = Reads(self.pools, "shop", Cursors(b"-"))
        row = await reads.one(select(sessions).where(sessions.c.id == claim.session_id, sessions.c.is_active))
        if row is None:
            return None
        return Principal(row["user_id"], row["id"], frozenset(row["permissions"]))


router = Router()


@router.post("/widgets", status_code=201, raises=(WidgetTaken,), summary="Make a widget")
async def create(command: CreateWidget, execute: Execute) -> WidgetView:
    return await execute(command)


@router.get("/widgets", summary="List widgets")
async def list_(
    page: PageParams, ask: Ask, q: Annotated[str | None, Query(max_length=10)] = None
) -> Page[WidgetView]:
    return await ask(ListWidgets(page=page, q=q))


@router.get("/widgets/{widget_id}", raises=(NotFound,), summary="Read a widget")
async def get(widget_id: UUID, ask: Ask) -> WidgetView:
    return await ask(GetWidget(widget_id=widget_id))


@router.patch(
    "/widgets/{widget_id}",
    permission="widgets:write",
    visible=lambda path: GetWidget(widget_id=path["widget_id"]),
    raises=(NotFound, WidgetTaken),
)
async def rename(widget_id: UUID, body: NewName, execute: Execute) -> WidgetView:
    return await execute(RenameWidget(widget_id=widget_id, name=body.name))


@router.delete("/widgets/{widget_id}", permission="widgets:write")
async def delete(widget_id: UUID, execute: Execute) -> None:
    await execute(DeleteWidget(widget_id=widget_id))


@router.post("/widgets/crash", status_code=201)
async def crash(command: CreateWidget, execute: Execute) -> WidgetView:
    await execute(command)
    raise RuntimeError("the process died between commit and answer")


@router.post("/widgets/located", status_code=201)
async def located(command: CreateWidget, execute: Execute, response: Response) -> WidgetView:
    made = await execute(command)
    response.headers["Location"] = f"/api/v1/widgets/{made.id}"
    return made


@router.post("/widgets/refuse", status_code=201)
async def refuse(command: RefuseWidget, execute: Execute) -> WidgetView:
    return await execute(command)


@router.post("/sign-up", status_code=201, public=True, limit="signup", secret=True)
async def sign_up(command: CreateWidget) -> dict[str, str]:
    return {"token": f"secret-of-{command.name}"}


@router.post("/log-out", status_code=204)
async def log_out(caller: Caller, execute: Execute, *, users: bool = False) -> None:
    assert caller.session_id is not None
    await execute(EndSession(session_id=caller.session_id, users=users))


@router.get("/who", public=True)
async def who(caller: Caller) -> dict[str, str]:
    return {"who": str(caller.user_id), "ip": str(current().ip), "trace": str(current().traceparent)}


@router.get("/boom", public=True)
async def boom() -> dict[str, str]:
    raise RuntimeError("secret detail in /etc/passwd")


@router.get("/echo/{text}", public=True)
async def echo(text: str, q: str = "") -> dict[str, str]:
    return {"text": text, "q": q}


@router.post("/deep", public=True)
async def deep(body: dict[str, Any]) -> dict[str, int]:
    return {"keys": len(body)}


@router.post("/upload", public=True, max_body_bytes=5000)
async def upload(file: UploadFile) -> dict[str, Any]:
    return {"name": file.filename, "size": len(await file.read())}


@router.post("/invalid", public=True)
async def invalid(command: CreateWidget) -> dict[str, str]:
    raise InvalidInput.of("name", "is not nice")


@router.get("/sync", public=True)
def sync() -> dict[str, str]:
    return {"who": str(current().request_id)}


@router.get("/raw", public=True)
async def raw(request: Request) -> Response:
    return Response(b"bytes", media_type="text/plain", headers={"ETag": '"own"'})


@dataclass
class Rig:
    """One application and everything behind it."""

    app: FastAPI
    settings: KernelSettings
    pools: Pools
    redis: Redis
    standings: StandingCache
    bus: TinyBus
    tokens: PlainTokens
    metrics: Metrics
    traffic: Traffic
    keys: DerivedKeys
    gate: Gate
    storage: FileStorage
    denied: list[tuple[str, str]] = field(default_factory=list)

    async def audit(self, context: Context, action: str, detail: str) -> None:
        self.denied.append((action, detail))

    def client(self, *, ip: str = "192.0.2.1", token: str | None = None) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx2.ASGITransport(app=self.app, client=(ip, 4711))
        return httpx2.AsyncClient(transport=transport, base_url="http://shop.test/api/v1", headers=headers)

    async def log_in(self, *permissions: str, user_id: UUID | None = None) -> str:
        user_id, session_id = user_id or new_id(), new_id()
        async with self.pools.commands("shop").connect() as connection:
            await connection.run(
                sessions.insert().values(
                    id=session_id, user_id=user_id, permissions=list(permissions), is_active=True
                )
            )
        return f"{user_id}.{session_id}"

    async def sql(self, statement: str, **params: Any) -> list[tuple[Any, ...]]:
        async with self.pools.commands("platform").connect() as connection:
            cursor = await connection.raw.execute(statement, params)
            return await cursor.fetchall() if cursor.description else []


@dataclass(frozen=True)
class Servers:
    database_url: str
    redis_url: str


@pytest.fixture(scope="session")
def shop_database_url(platform_databases: Databases) -> Iterator[str]:
    url = platform_databases.take()
    _create(url)
    yield url
    platform_databases.give_back(url)


@pytest.fixture
def servers(shop_database_url: str, fresh_redis_url: str) -> Servers:
    return Servers(shop_database_url, fresh_redis_url)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that a test may take away."""
    directory = tmp_path / "redis"
    directory.mkdir()
    with RedisServer(directory) as server:
        yield server


def _create(url: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))
    with engine.begin() as connection:
        for schema in ("platform", "audit", "shop"):
            connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
        connection.exec_driver_sql(
            "CREATE FUNCTION platform.uuid7() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()'"
        )
        connection.exec_driver_sql(
            "CREATE FUNCTION platform.expect(write_index integer, actual bigint, expected integer) RETURNS void"
            " LANGUAGE plpgsql AS $$ BEGIN IF actual <> expected THEN"
            " RAISE EXCEPTION USING ERRCODE = 'P0409', MESSAGE = write_index::text; END IF; END $$"
        )
        _tables.PLATFORM.create_all(connection)
        _tables.AUDIT.create_all(connection)
        SHOP.create_all(connection)
    engine.dispose()


Build = Callable[..., Awaitable[Rig]]


@pytest.fixture
async def build(servers: Servers, tmp_path: Path) -> AsyncIterator[Build]:
    """Return a function that makes an application; two of them share the servers, as two processes would."""
    namespace = uuid.uuid4().hex
    async with contextlib.AsyncExitStack() as stack:

        async def make(*, redis_url: str | None = None, guard: float = 0.0, **changed: str) -> Rig:
            source = {
                "DATABASE_URL": servers.database_url,
                "REDIS_URL": redis_url or servers.redis_url,
                "PLATFORM_ENV": "test",
                "PLATFORM_SECRET_KEY": "k" * 40,
                **changed,
            }
            settings = read_settings(source)
            pools = Pools(settings)
            redis = Redis(settings.redis_url, timeout_seconds=settings.redis_timeout_seconds)
            standings = StandingCache(settings, redis, namespace=namespace, reconnect_guard_seconds=guard)
            await standings.start()
            stack.push_async_callback(pools.close)
            stack.push_async_callback(redis.close)
            stack.push_async_callback(standings.stop)
            keys = DerivedKeys(settings.secret_key)
            bus = TinyBus(pools, standings, Cursors(keys.derive("cursors")))
            tokens, metrics, traffic = PlainTokens(pools), Metrics(), Traffic()
            gate = Gate(redis, namespace=namespace)
            storage = FileStorage(f"file://{tmp_path}/files", tmp_path / "scratch")
            stack.callback(storage.close)
            rig = Rig(
                FastAPI(),
                settings,
                pools,
                redis,
                standings,
                bus,
                tokens,
                metrics,
                traffic,
                keys,
                gate,
                storage,
            )
            rig.app = build_app(
                HttpParts(
                    storage=rig.storage,
                    settings=settings,
                    bus=bus,
                    pools=pools,
                    keys=keys,
                    gate=gate,
                    standings=standings,
                    authenticators=lambda: {"bearer": tokens},
                    audit_denied=rig.audit,
                    modules=[ModuleRoutes("shop", "Shop", [router])],
                    unavailable={"/api/v1/broken": "it is broken"},
                    metrics=metrics,
                    traffic=traffic,
                )
            )
            return rig

        yield make


@pytest.fixture
async def rig(build: Build) -> Rig:
    return await build()


@pytest.fixture
async def visitor(rig: Rig) -> AsyncIterator[httpx2.AsyncClient]:
    async with rig.client() as client:
        yield client


@pytest.fixture
async def member(rig: Rig) -> AsyncIterator[httpx2.AsyncClient]:
    async with rig.client(token=await rig.log_in("widgets:write")) as client:
        yield client
