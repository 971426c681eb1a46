"""Routes below `/files/{file_id}/versions`."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Path, Response

from file_management.application.files import AddVersion, RestoreVersion
from file_management.application.queries import GetUploadAllowance, ListVersions, OpenFile
from file_management.contracts import FileView, VersionView
from file_management.domain import (
    FileNotFound,
    FileQuarantined,
    ReadOnly,
    TypeNotAllowed,
    VersionNotFound,
)
from file_management.presentation.files import BYTES, INTAKE, WAITS, accepted, answered
from platform_core.domain import Page
from platform_core.http import Ask, Execute, Incoming, PageParams, Router, form_body

router = Router()

Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="Of the version.")]


@router.post(
    "/files/{file_id}/versions",
    status_code=201,
    raises=(*INTAKE, FileNotFound, ReadOnly),
    responses=WAITS,
    openapi_extra=form_body(file="The new content."),
    summary="Give a file new content",
)
async def add_version(
    file_id: UUID, incoming: Incoming, response: Response, ask: Ask, execute: Execute
) -> FileView:
    question = GetUploadAllowance(file_id=file_id, declared_bytes=incoming.declared_file_bytes)
    allowance = await ask(question)
    async with incoming.form(limit_bytes=allowance.max_bytes) as form:
        command = AddVersion(file_id=file_id, content=form.content)
        return accepted(await execute(command), response)


@router.get("/files/{file_id}/versions", raises=(FileNotFound,), summary="List every version, newest first")
async def list_versions(file_id: UUID, page: PageParams, ask: Ask) -> Page[VersionView]:
    return await ask(ListVersions(file_id=file_id, page=page))


@router.get(
    "/files/{file_id}/versions/{number}/content",
    raises=(FileNotFound, VersionNotFound, FileQuarantined),
    responses=BYTES,
    response_class=Response,
    summary="Download a version, or a part of it",
)
async def get_version_content(file_id: UUID, number: Number, ask: Ask) -> Response:
    return await answered(await ask(OpenFile(file_id=file_id, number=number)))


@router.post(
    "/files/{file_id}/versions/{number}/restore",
    status_code=200,
    raises=(FileNotFound, VersionNotFound, ReadOnly, TypeNotAllowed),
    summary="Make an earlier content the present one, as a new version",
)
async def restore_version(file_id: UUID, number: Number, execute: Execute) -> FileView:
    return await execute(RestoreVersion(file_id=file_id, number=number))
