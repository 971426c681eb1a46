"""
The floor's HTTP side: a token is checked, one statement is run, orjson writes the answer. No model, no ORM, no limits.

    uvicorn --factory benchmarks.floor.api:app
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import secrets
import time
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import bcrypt
import jwt
import orjson
from fastapi import FastAPI, Request, Response, UploadFile

from benchmarks.floor import queries
from benchmarks.floor.pool import Pool
from benchmarks.ground import Handout
from platform_core.domain import new_id

_LAST = UUID(int=(1 << 128) - 1)


class _Caller:
    """Says who is asking, by a signature and nothing else."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __call__(self, request: Request) -> str:
        claims = jwt.decode(request.headers["authorization"][7:], self.secret, algorithms=["HS256"])
        return str(claims["sub"])


def app() -> FastAPI:
    """Return the floor as an application; where its database is comes from the environment."""
    handout = Handout.read()
    pool, caller = Pool(handout.database_url, handout.pool_size), _Caller(handout.floor_secret)
    api = FastAPI(openapi_url=None)

    @api.get("/ready")
    async def ready() -> Response:
        return Response("ready")

    _accounts(api, pool, caller, handout.pepper)
    _work(api, pool, caller, handout.files)
    return api


def _accounts(api: FastAPI, pool: Pool, caller: _Caller, pepper: str) -> None:
    @api.get("/users/{user_id}")
    async def get_user(user_id: UUID, request: Request) -> Response:
        caller(request)
        rows = await pool.fetch(queries.GET_USER, {"id": user_id})
        return _json(rows[0]) if rows else _json({"detail": "not found"}, 404)

    @api.get("/users")
    async def list_users(request: Request, limit: int = 20, cursor: UUID = _LAST) -> Response:
        caller(request)
        rows = await pool.fetch(queries.LIST_USERS, {"after": cursor, "limit": limit + 1})
        following = rows[limit - 1]["id"] if len(rows) > limit else None
        return _json({"items": rows[:limit], "next_cursor": following})

    @api.patch("/users/me")
    async def update_me(request: Request) -> Response:
        user_id, body = caller(request), orjson.loads(await request.body())
        rows = await pool.fetch(queries.UPDATE_ME, {"id": UUID(user_id), "full_name": body["full_name"]})
        return _json(rows[0])

    @api.post("/users")
    async def invite(request: Request) -> Response:
        caller(request)
        body = orjson.loads(await request.body())
        rows = await pool.fetch(queries.INVITE, {"id": new_id(), "link_id": new_id(), **body})
        return _json(rows[0], 201)

    @api.post("/auth/login")
    async def log_in(request: Request) -> Response:
        body = orjson.loads(await request.body())
        rows = await pool.fetch(queries.FIND_LOGIN, {"email": body["email"]})
        keyed = base64.b64encode(hmac.digest(pepper.encode(), body["password"].encode(), "sha256"))
        if not rows or not await asyncio.to_thread(bcrypt.checkpw, keyed, rows[0]["password_hash"].encode()):
            return _json({"detail": "wrong"}, 401)
        user_id, refresh_token = rows[0]["id"], secrets.token_urlsafe(32)
        digest = hashlib.sha256(refresh_token.encode()).digest()
        await pool.fetch(queries.OPEN_SESSION, {"id": new_id(), "user_id": user_id, "hash": digest})
        access_token = jwt.encode(
            {"sub": str(user_id), "exp": int(time.time()) + 900}, caller.secret, algorithm="HS256"
        )
        return _json({"access_token": access_token, "refresh_token": refresh_token, "token_type": "bearer"})


def _work(api: FastAPI, pool: Pool, caller: _Caller, files: Path) -> None:
    @api.get("/tasks/{task_id}")
    async def get_task(task_id: UUID, request: Request) -> Response:
        rows = await pool.fetch(queries.GET_TASK, {"id": task_id, "caller": caller(request)})
        return _json(rows[0]) if rows else _json({"detail": "not found"}, 404)

    @api.get("/projects/{project_id}/tasks")
    async def list_tasks(
        project_id: UUID, request: Request, limit: int = 20, cursor: UUID = _LAST
    ) -> Response:
        asked = {
            "id": project_id,
            "caller": caller(request),
            "after": cursor,
            "limit": limit + 1,
        }
        rows = await pool.fetch(queries.LIST_TASKS, asked)
        following = rows[limit - 1]["id"] if len(rows) > limit else None
        return _json({"items": rows[:limit], "next_cursor": following})

    @api.post("/projects/{project_id}/tasks")
    async def add_task(project_id: UUID, request: Request) -> Response:
        made = {"id": new_id(), "project_id": project_id, "caller": caller(request)}
        rows = await pool.fetch(queries.ADD_TASK, {**made, **orjson.loads(await request.body())})
        return _json(rows[0], 201) if rows else _json({"detail": "not found"}, 404)

    @api.post("/files/upload")
    async def upload(file: UploadFile, request: Request) -> Response:
        identity, user_id = new_id(), caller(request)
        checksum = await asyncio.to_thread(_store, file.file, files / str(identity))
        stored = {"id": identity, "name": file.filename, "size": file.size, "checksum": checksum}
        rows = await pool.fetch(queries.ADD_FILE, {**stored, "caller": user_id})
        return _json(rows[0], 201)


def _store(source: BinaryIO, target: Path) -> str:
    """Copy to the disk, hashing on the way, and wait until it is there."""
    digest = hashlib.sha256()
    with target.open("wb") as file:
        while piece := source.read(1 << 20):
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")
