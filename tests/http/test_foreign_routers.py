"""Whatever routers a third party hands in, every ground rule holds for their routes."""

import asyncio
import uuid
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, Form
from fastapi.responses import StreamingResponse

from platform_core.context import current
from platform_core.http import Caller, Router
from platform_core.http.assembly import HttpParts, ModuleRoutes, build_app


def plain_router():
    inner = APIRouter()

    async def closing():
        yield "open"

    @inner.get("/{thing_id}")
    async def read(thing_id: int, state: Annotated[str, Depends(closing)]) -> dict[str, str]:
        return {"thing": str(thing_id), "state": state}

    @inner.post("/form")
    async def form(name: Annotated[str, Form(max_length=5)]) -> dict[str, str]:
        return {"name": name}

    @inner.get("/files/{path:path}")
    async def file(path: str) -> dict[str, str]:
        return {"path": path}

    @inner.get("/stream/slow")
    async def stream() -> StreamingResponse:
        async def lines():
            for _ in range(3):
                await asyncio.sleep(0)
                yield f"{current().principal.user_id}\n"

        return StreamingResponse(lines(), media_type="text/plain")

    outer = APIRouter(prefix="/things")
    outer.include_router(inner)
    return outer


@pytest.fixture
async def client(rig):
    root = Router(prefix_api=False)

    @root.get("/.well-known/things.json", public=True)
    async def well_known(caller: Caller) -> dict[str, str]:
        return {"caller": caller.label}

    parts = HttpParts(
        settings=rig.settings,
        bus=rig.bus,
        pools=rig.pools,
        keys=rig.keys,
        gate=rig.gate,
        standings=rig.standings,
        authenticators=lambda: {"bearer": rig.tokens},
        audit_denied=rig.audit,
        storage=rig.storage,
        modules=[ModuleRoutes("toys", "Toys", [plain_router(), root])],
    )
    rig.app = build_app(parts)
    async with rig.client() as client:
        yield client


@pytest.fixture
async def token(rig):
    return {"Authorization": f"Bearer {await rig.log_in()}"}


async def test_a_plain_router_needs_a_token_and_nothing_else(client, token):
    assert (await client.get("/things/7")).status_code == 401
    answer = await client.get("/things/7", headers=token)
    assert answer.json() == {"thing": "7", "state": "open"}
    assert "etag" in answer.headers
    assert "ratelimit" in answer.headers


async def test_a_form_is_checked_like_any_body(client, token):
    assert (await client.post("/things/form", data={"name": "abc"}, headers=token)).json() == {"name": "abc"}
    too_long = await client.post("/things/form", data={"name": "abcdef"}, headers=token)
    assert too_long.json()["errors"][0]["pointer"] == "/body/name"
    assert (await client.post("/things/form", data={"name": "a\x00"}, headers=token)).status_code == 422
    key = {"Idempotency-Key": str(uuid.uuid4()), **token}
    first = await client.post("/things/form", data={"name": "abc"}, headers=key)
    again = await client.post("/things/form", data={"name": "abc"}, headers=key)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.content == first.content


async def test_path_converters_work(client, token):
    answer = await client.get("/things/files/a/b.txt", headers=token)
    assert answer.json() == {"path": "a/b.txt"}
    assert (await client.put("/things/files/a/b.txt", headers=token)).headers["allow"] == "GET, HEAD"


async def test_a_stream_still_knows_its_caller(client, token):
    answer = await client.get("/things/stream/slow", headers=token)
    caller = token["Authorization"].removeprefix("Bearer ").partition(".")[0]
    assert answer.text == f"{caller}\n" * 3
    assert "etag" not in answer.headers


async def test_a_route_may_lie_outside_of_the_api(client):
    answer = await client.get("http://shop.test/.well-known/things.json")
    assert answer.json() == {"caller": "anonymous"}


async def test_all_of_it_is_in_the_document(client):
    document = (await client.get("http://shop.test/openapi.json")).json()
    assert document["paths"].keys() == {
        "/api/v1/things/{thing_id}",
        "/api/v1/things/form",
        "/api/v1/things/files/{path}",
        "/api/v1/things/stream/slow",
        "/.well-known/things.json",
    }
    assert all("429" in o["responses"] for methods in document["paths"].values() for o in methods.values())
