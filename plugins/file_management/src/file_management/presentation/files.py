"""Routes below `/files`: uploading, reading, changing and deleting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Query, Response

from file_management.application.files import (
    DeleteFile,
    FileChanges,
    RestoreFile,
    UpdateFile,
    UploadFile,
)
from file_management.application.queries import (
    GetFile,
    GetQuota,
    GetUploadAllowance,
    ListFiles,
    OpenedFile,
    OpenFile,
    OpenThumbnail,
)
from file_management.contracts import FileView, QuotaView
from file_management.domain import (
    QUARANTINED,
    FileNameTaken,
    FileNotFound,
    FileQuarantined,
    FolderNotFound,
    InfectedFile,
    OwnersOnly,
    QuotaExceeded,
    ReadOnly,
    ThumbnailNotFound,
    TypeNotAllowed,
    UnsafeArchive,
)
from platform_core.domain import Page
from platform_core.errors import InvalidInput
from platform_core.http import (
    Ask,
    Content,
    Execute,
    Incoming,
    PageParams,
    Router,
    download,
    form_body,
)

router = Router()

INTAKE: Final = (QuotaExceeded, TypeNotAllowed, InfectedFile, UnsafeArchive, InvalidInput)
"""Why content may not be taken."""

WAITS: Final[dict[int | str, dict[str, Any]]] = {
    202: {"model": FileView, "description": "Kept, but nobody can read it until it was scanned."}
}

PROBLEM: Final = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}

BYTES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The content.", "content": {"*/*": {}}},
    206: {"description": "The part that `Range` asks for.", "content": {"*/*": {}}},
    304: {"description": "It is still what your If-None-Match names."},
    416: {"description": "The range lies outside of the content, or is none.", "content": PROBLEM},
}

PICTURE: Final[dict[int | str, dict[str, Any]]] = {
    **BYTES,
    200: {"description": "The picture.", "content": {"image/webp": {}}},
    206: {"description": "The part that `Range` asks for.", "content": {"image/webp": {}}},
}


def file_is_there(path: Mapping[str, Any]) -> GetFile:
    """Ask what hides a file from those who may not know of it."""
    return GetFile(file_id=path["file_id"])


def accepted(file: FileView, response: Response) -> FileView:
    """Say 202 of what waits in quarantine."""
    if file.status == QUARANTINED:
        response.status_code = 202
    return file


async def answered(opened: OpenedFile, *, is_inline: bool = False) -> Response:
    """Answer with content, or the part that is asked for."""
    return await download(
        Content(
            name=opened.name,
            media_type=opened.content_type,
            size_bytes=opened.size,
            tag=opened.tag,
            read=opened.read,
            is_inline=is_inline,
        )
    )


@router.post(
    "/files/upload",
    status_code=201,
    raises=(*INTAKE, FileNameTaken, FolderNotFound),
    responses=WAITS,
    openapi_extra=form_body(
        file="The file; its type is told by its bytes.", folder_id={"type": "string", "format": "uuid"}
    ),
    summary="Upload a file",
)
async def upload_file(incoming: Incoming, response: Response, ask: Ask, execute: Execute) -> FileView:
    allowance = await ask(GetUploadAllowance(declared_bytes=incoming.declared_file_bytes))
    async with incoming.form(limit_bytes=allowance.max_bytes, fields=["folder_id"]) as form:
        command = UploadFile(name=form.filename, content=form.content, folder_id=form.uuid("folder_id"))
        return accepted(await execute(command), response)


@router.get("/files", summary="List or search your files and those shared with you, newest first")
async def list_files(
    page: PageParams,
    ask: Ask,
    folder_id: Annotated[UUID | None, Query(description="Only those in this folder.")] = None,
    q: Annotated[str | None, Query(max_length=200, description="Part of the name.")] = None,
) -> Page[FileView]:
    return await ask(ListFiles(page=page, folder_id=folder_id, q=q))


@router.get("/files/quota", summary="How much room you have, and how much of it is taken")
async def get_quota(ask: Ask) -> QuotaView:
    return await ask(GetQuota())


@router.get("/files/{file_id}", raises=(FileNotFound,), summary="Read what is known of a file")
async def get_file(file_id: UUID, ask: Ask) -> FileView:
    return await ask(GetFile(file_id=file_id))


@router.patch(
    "/files/{file_id}",
    visible=file_is_there,
    raises=(FileNotFound, FolderNotFound, FileNameTaken, ReadOnly, OwnersOnly, TypeNotAllowed, InvalidInput),
    summary="Call a file something else, or put it elsewhere",
)
async def update_file(file_id: UUID, changes: FileChanges, execute: Execute) -> FileView:
    return await execute(UpdateFile(file_id=file_id, changes=changes))


@router.delete(
    "/files/{file_id}",
    raises=(FileNotFound, OwnersOnly),
    summary="Delete a file; it can be restored for a while",
)
async def delete_file(file_id: UUID, execute: Execute) -> None:
    await execute(DeleteFile(file_id=file_id))


@router.post(
    "/files/{file_id}/restore",
    status_code=200,
    raises=(FileNotFound, OwnersOnly, FileNameTaken),
    summary="Take back that a file was deleted",
)
async def restore_file(file_id: UUID, execute: Execute) -> FileView:
    return await execute(RestoreFile(file_id=file_id))


@router.get(
    "/files/{file_id}/content",
    raises=(FileNotFound, FileQuarantined),
    responses=BYTES,
    response_class=Response,
    summary="Download a file, or a part of it",
)
async def get_content(file_id: UUID, ask: Ask) -> Response:
    return await answered(await ask(OpenFile(file_id=file_id)))


@router.get(
    "/files/{file_id}/thumbnail",
    raises=(FileNotFound, ThumbnailNotFound),
    responses=PICTURE,
    response_class=Response,
    summary="Look at a small picture of a file",
)
async def get_thumbnail(
    file_id: UUID,
    ask: Ask,
    size: Annotated[int, Query(ge=64, le=512, description="Longest side, in pixels.")] = 256,
) -> Response:
    return await answered(await ask(OpenThumbnail(file_id=file_id, size=size)), is_inline=True)
