"""
Routes below `/files/uploads`: tus 1.0, with the extensions creation, expiration, checksum and termination.

The protocol's own rules win over the house's where they differ: answers carry its headers, a checksum that does not
fit is status 460, and what an upload is comes in headers. Refusals are problem documents as everywhere.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from email.utils import format_datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Header, Request, Response

from file_management.application.queries import GetUpload, GetUploadAllowance
from file_management.application.uploads import (
    CHECKSUMS,
    BeginUpload,
    Checksum,
    ContinueUpload,
    GiveUpUpload,
    UploadView,
)
from file_management.domain import (
    ChecksumMismatch,
    FileNameTaken,
    FileTooLarge,
    FolderNotFound,
    OffsetMismatch,
    UploadNotFound,
    WrongProtocolVersion,
)
from file_management.presentation.files import INTAKE, PROBLEM
from platform_core.errors import InvalidInput
from platform_core.http import Ask, Execute, Incoming, Router, UnsupportedMediaType, respond

VERSION: Final = "1.0.0"
_TUS: Final[Mapping[str, str]] = {"Tus-Resumable": VERSION}
_PART: Final = "application/offset+octet-stream"
_CHECKSUM_MISMATCH: Final = 460
_EXTENSIONS: Final = "creation,expiration,checksum,termination"

router = Router()


Version = Annotated[str | None, Header(alias="Tus-Resumable", description="1.0.0", max_length=100)]
Length = Annotated[int | None, Header(alias="Upload-Length", ge=0, le=2**62, description="In bytes.")]
Offset = Annotated[int | None, Header(alias="Upload-Offset", ge=0, le=2**62, description="In bytes.")]
Metadata = Annotated[
    str,
    Header(
        alias="Upload-Metadata",
        max_length=8192,
        description="Pairs of key and Base64, comma-separated: filename, filetype, folder_id.",
    ),
]
PartChecksum = Annotated[
    str | None,
    Header(alias="Upload-Checksum", max_length=200, description="Algorithm, a space, Base64 of the digest."),
]


@router.options(
    "/files/uploads", status_code=204, public=True, headers=_TUS, summary="What resumable uploads can do here"
)
async def describe() -> Response:
    headers = {
        "Tus-Version": VERSION,
        "Tus-Extension": _EXTENSIONS,
        "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
    }
    return Response(status_code=204, headers=headers)


@router.post(
    "/files/uploads",
    status_code=201,
    headers=_TUS,
    raises=(*INTAKE, FileTooLarge, FileNameTaken, FolderNotFound, WrongProtocolVersion),
    response_class=Response,
    summary="Begin a resumable upload",
)
async def begin_upload(
    ask: Ask,
    execute: Execute,
    request: Request,
    version: Version = None,
    length: Length = None,
    metadata: Metadata = "",
) -> Response:
    _require(version)
    if length is None:
        raise InvalidInput.of("Upload-Length", "Field required", "missing", where="header")
    allowance = await ask(GetUploadAllowance(declared_bytes=length))
    if length > allowance.max_bytes:
        raise FileTooLarge(extra={"limit_bytes": allowance.max_bytes})
    told = _pairs(metadata)
    command = BeginUpload(
        name=told.get("filename") or "upload", length=length, folder_id=_folder(told.get("folder_id"))
    )
    upload = await execute(command)
    headers = {"Location": f"{request.scope['path']}/{upload.id}", **_state(upload)}
    return Response(status_code=201, headers=headers)


@router.get(
    "/files/uploads/{upload_id}",
    headers={**_TUS, "Cache-Control": "no-store"},
    raises=(UploadNotFound,),
    summary="How far a resumable upload is; HEAD has it in headers",
)
async def get_upload(upload_id: UUID, ask: Ask, response: Response) -> UploadView:
    upload = await ask(GetUpload(upload_id=upload_id))
    response.headers.update(_state(upload))
    response.headers["Upload-Length"] = str(upload.length)
    return upload


@router.patch(
    "/files/uploads/{upload_id}",
    status_code=204,
    headers=_TUS,
    raises=(*INTAKE, UploadNotFound, OffsetMismatch, FileTooLarge, FileNameTaken, WrongProtocolVersion),
    responses={
        _CHECKSUM_MISMATCH: {
            "description": "The bytes that arrived have another checksum.",
            "content": PROBLEM,
        }
    },
    openapi_extra={"requestBody": {"content": {_PART: {"schema": {"type": "string", "format": "binary"}}}}},
    response_class=Response,
    summary="Send the next bytes of a resumable upload; the last ones make the file",
)
async def continue_upload(
    upload_id: UUID,
    incoming: Incoming,
    ask: Ask,
    execute: Execute,
    request: Request,
    version: Version = None,
    offset: Offset = None,
    checksum: PartChecksum = None,
) -> Response:
    known = await ask(GetUpload(upload_id=upload_id))
    _require(version)
    if (request.headers.get("content-type") or "").partition(";")[0].strip().lower() != _PART:
        raise UnsupportedMediaType(f"Parts are sent as `{_PART}`.")
    if offset is None:
        raise InvalidInput.of("Upload-Offset", "Field required", "missing", where="header")
    async with incoming.body(limit_bytes=known.length - known.offset) as body:
        command = ContinueUpload(
            upload_id=upload_id,
            offset=offset,
            content=body.content,
            is_complete=body.is_complete,
            checksum=_checksum(checksum),
        )
        try:
            upload = await execute(command)
        except ChecksumMismatch as mismatch:
            answer = respond(mismatch, request.scope)
            answer.status_code = _CHECKSUM_MISMATCH
            return answer
    return Response(status_code=204, headers=_state(upload))


@router.delete(
    "/files/uploads/{upload_id}",
    headers=_TUS,
    raises=(UploadNotFound, WrongProtocolVersion),
    summary="Give up a resumable upload",
)
async def give_up_upload(upload_id: UUID, ask: Ask, execute: Execute, version: Version = None) -> None:
    await ask(GetUpload(upload_id=upload_id))
    _require(version)
    await execute(GiveUpUpload(upload_id=upload_id))


def _require(version: str | None) -> None:
    if version != VERSION:
        raise WrongProtocolVersion


def _state(upload: UploadView) -> dict[str, str]:
    state = {
        "Upload-Offset": str(upload.offset),
        "Upload-Expires": format_datetime(upload.expires_at, usegmt=True),
    }
    if upload.file_id is not None:
        state["Content-Location"] = f"/api/v1/files/{upload.file_id}"
    return state


def _pairs(metadata: str) -> dict[str, str]:
    told: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in metadata.split(","))):
        key, _, encoded = pair.partition(" ")
        told[key] = _decoded(encoded, "Upload-Metadata", lambda raw: raw.decode("utf-8"))
    return told


def _checksum(header: str | None) -> Checksum | None:
    if header is None:
        return None
    algorithm, _, encoded = header.partition(" ")
    return Checksum(algorithm, _decoded(encoded, "Upload-Checksum", bytes))


def _decoded(encoded: str, header: str, read: Callable[[bytes], Any]) -> Any:
    try:
        return read(base64.b64decode(encoded, validate=True))
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise InvalidInput.of(header, "is not Base64 of text", "invalid_base64", where="header") from None


def _folder(text: str | None) -> UUID | None:
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput.of(
            "Upload-Metadata", "folder_id is no UUID", "uuid_parsing", where="header"
        ) from None
