"""The read side: one statement per question, rows straight to views."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    case,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    union_all,
)

from file_management.application import queries
from file_management.application.ports import AccessRules
from file_management.application.uploads import UploadView
from file_management.contracts import (
    ChildView,
    FileView,
    FolderView,
    PermissionView,
    QuotaView,
    VersionView,
)
from file_management.domain import (
    PROCESSING,
    FileNotFound,
    FileQuarantined,
    FolderNotFound,
    OwnersOnly,
    QuotaExceeded,
    ReadOnly,
    ThumbnailNotFound,
    UploadNotFound,
    VersionNotFound,
)
from file_management.hookspecs import THUMBNAIL
from file_management.infrastructure.tables import (
    file_permissions,
    file_uploads,
    file_usage,
    file_versions,
    files,
    folders,
)
from file_management.infrastructure.thumbnails import resized
from file_management.settings import FileManagementSettings
from platform_core.db import Reads
from platform_core.domain import Page
from platform_core.ports import Clock, Storage
from platform_core.security import Principal

_FILE: Final = (
    files.c.id,
    files.c.name,
    files.c.folder_id,
    files.c.size,
    files.c.content_type,
    files.c.checksum_sha256,
    files.c.file_version,
    files.c.status,
    files.c.derived.has_key(THUMBNAIL).label("has_thumbnail"),
    files.c.uploaded_by,
    files.c.created_at,
    files.c.updated_at,
)
_FOLDER: Final = (
    folders.c.id,
    folders.c.name,
    folders.c.parent_id,
    folders.c.created_at,
    folders.c.updated_at,
)
_UPLOAD: Final = (
    file_uploads.c.id,
    file_uploads.c.name,
    file_uploads.c.length,
    file_uploads.c.received.label("offset"),
    file_uploads.c.expires_at,
    file_uploads.c.file_id,
)


# ── Files ────────────────────────────────────────────────────────────────────────────────────────


async def get_file(
    query: queries.GetFile, reads: Reads, rules: AccessRules, principal: Principal
) -> FileView:
    return _file(await _readable(query.file_id, reads, rules, principal))


async def list_files(query: queries.ListFiles, reads: Reads, principal: Principal) -> Page[FileView]:
    statement = select(*_FILE).where(files.c.deleted_at.is_(None), _own_or_shared(principal.require_user()))
    if query.folder_id is not None:
        statement = statement.where(files.c.folder_id == query.folder_id)
    if query.q:
        statement = statement.where(files.c.name.icontains(query.q, autoescape=True))
    return await reads.page(statement, query.page, _file, order=(files.c.id,))


async def open_file(
    query: queries.OpenFile, reads: Reads, rules: AccessRules, principal: Principal, storage: Storage
) -> queries.OpenedFile:
    number = files.c.file_version if query.number is None else query.number
    version = and_(file_versions.c.file_id == files.c.id, file_versions.c.number == number)
    columns = (
        file_versions.c.object_key,
        file_versions.c.size.label("stored_size"),
        file_versions.c.content_type.label("stored_type"),
        file_versions.c.checksum_sha256.label("tag"),
        file_versions.c.is_clean,
    )
    row = await _readable(query.file_id, reads, rules, principal, *columns, joined=version)
    if row["object_key"] is None:
        raise VersionNotFound
    if not row["is_clean"]:
        raise FileQuarantined
    return queries.OpenedFile(
        name=row["name"],
        content_type=row["stored_type"],
        size=row["stored_size"],
        tag=row["tag"],
        read=functools.partial(_from_storage, storage, row["object_key"]),
    )


async def open_thumbnail(
    query: queries.OpenThumbnail, reads: Reads, rules: AccessRules, principal: Principal, storage: Storage
) -> queries.OpenedFile:
    """The stored picture is ours, small and harmless, so it is made smaller here and now."""
    row = await _readable(query.file_id, reads, rules, principal, files.c.derived)
    key = row["derived"].get(THUMBNAIL)
    if key is None:
        raise ThumbnailNotFound
    try:
        stored = b"".join([piece async for piece in storage.read(key)])
    except FileNotFoundError:
        raise ThumbnailNotFound from None
    picture = await resized(stored, query.size)

    async def read(start: int, stop: int) -> AsyncGenerator[bytes, None]:
        yield picture[start:stop]

    return queries.OpenedFile(
        name=f"{row['name']}.webp",
        content_type="image/webp",
        size=len(picture),
        tag=f"{row['checksum_sha256']}-{query.size}",
        read=read,
    )


async def list_versions(
    query: queries.ListVersions, reads: Reads, rules: AccessRules, principal: Principal
) -> Page[VersionView]:
    await _readable(query.file_id, reads, rules, principal)
    statement = select(
        file_versions.c.number,
        file_versions.c.size,
        file_versions.c.checksum_sha256,
        file_versions.c.uploaded_by,
        file_versions.c.created_at,
    ).where(file_versions.c.file_id == query.file_id)

    def view(row: Mapping[str, Any]) -> VersionView:
        return VersionView(
            version=row["number"],
            size=row["size"],
            checksum_sha256=row["checksum_sha256"],
            uploaded_by=row["uploaded_by"],
            created_at=row["created_at"],
        )

    return await reads.page(statement, query.page, view, order=(file_versions.c.number,))


async def list_permissions(
    query: queries.ListPermissions, reads: Reads, rules: AccessRules, principal: Principal
) -> Page[PermissionView]:
    row = await _readable(query.file_id, reads, rules, principal)
    if row["uploaded_by"] != principal.require_user():
        raise OwnersOnly
    statement = select(file_permissions.c.user_id, file_permissions.c.level).where(
        file_permissions.c.file_id == query.file_id
    )
    return await reads.page(
        statement,
        query.page,
        lambda found: PermissionView(**found),
        order=(file_permissions.c.user_id,),
        ascending=True,
    )


# ── Room ─────────────────────────────────────────────────────────────────────────────────────────


async def get_upload_allowance(
    query: queries.GetUploadAllowance,
    reads: Reads,
    rules: AccessRules,
    principal: Principal,
    settings: FileManagementSettings,
) -> queries.UploadAllowance:
    """Whoever may not, or has no room left, hears of it before the bytes are on their way."""
    owner_id = user_id = principal.require_user()
    if query.file_id is not None:
        row = await _readable(query.file_id, reads, rules, principal)
        owner_id = row["uploaded_by"]
        if owner_id != user_id and row["level"] != "write":
            raise ReadOnly
    quota = await _quota(owner_id, reads, settings)
    if quota.used + query.declared_bytes > quota.limit:
        raise QuotaExceeded(extra={"used": quota.used, "limit": quota.limit} if owner_id == user_id else {})
    return queries.UploadAllowance(settings.max_file_bytes)


async def get_quota(
    query: queries.GetQuota, reads: Reads, principal: Principal, settings: FileManagementSettings
) -> QuotaView:
    return await _quota(principal.require_user(), reads, settings)


# ── Folders ──────────────────────────────────────────────────────────────────────────────────────


async def get_folder(query: queries.GetFolder, reads: Reads, principal: Principal) -> FolderView:
    row = await reads.one(_own_folders(principal).where(folders.c.id == query.folder_id))
    if row is None:
        raise FolderNotFound
    return FolderView(**row)


async def list_children(query: queries.ListChildren, reads: Reads, principal: Principal) -> Page[ChildView]:
    """Folders and files as one list: columns that only one of both has are empty for the other."""
    if query.folder_id is not None:
        await get_folder(queries.GetFolder(folder_id=query.folder_id), reads, principal)
    owner_id = principal.require_user()
    only_files = [column for column in _FILE if column.name not in _COMMON]
    in_folders = (
        select(
            literal_column("0").label("rank"),
            folders.c.id,
            folders.c.name,
            folders.c.parent_id.label("folder_id"),
            folders.c.created_at,
            folders.c.updated_at,
            *(null().cast(column.type).label(column.name) for column in only_files),
        )
        .where(folders.c.owner_id == owner_id, folders.c.deleted_at.is_(None))
        .where(folders.c.parent_id.is_not_distinct_from(query.folder_id))
    )
    in_files = (
        select(
            literal_column("1").label("rank"),
            files.c.id,
            files.c.name,
            files.c.folder_id,
            files.c.created_at,
            files.c.updated_at,
            *only_files,
        )
        .where(files.c.uploaded_by == owner_id, files.c.deleted_at.is_(None))
        .where(files.c.folder_id.is_not_distinct_from(query.folder_id))
    )
    children = union_all(in_folders, in_files).subquery("children")
    order = (children.c.rank, children.c.name, children.c.id)
    return await reads.page(select(children), query.page, _child, order=order, ascending=True)


_COMMON: Final = frozenset(("id", "name", "folder_id", "created_at", "updated_at"))


# ── Resumable uploads ────────────────────────────────────────────────────────────────────────────


async def get_upload(
    query: queries.GetUpload, reads: Reads, principal: Principal, clock: Clock
) -> UploadView:
    row = await reads.one(
        select(*_UPLOAD).where(
            file_uploads.c.id == query.upload_id,
            file_uploads.c.owner_id == principal.require_user(),
            file_uploads.c.deleted_at.is_(None),
            file_uploads.c.expires_at > clock.now(),
        )
    )
    if row is None:
        raise UploadNotFound
    return UploadView(**row)


# ── For other modules ────────────────────────────────────────────────────────────────────────────


class SqlFileDirectory:
    """`FileDirectory`: what other modules may know of files."""

    def __init__(self, reads: Reads, rules: AccessRules) -> None:
        self._reads, self._rules = reads, rules

    async def get_many(self, file_ids: Iterable[UUID]) -> Mapping[UUID, FileView]:
        wanted = list(file_ids)
        statement = select(*_FILE).where(files.c.id.in_(wanted), files.c.deleted_at.is_(None))
        return {row["id"]: _file(row) for row in await self._reads.all(statement)} if wanted else {}

    async def readable(
        self, file_ids: Iterable[UUID], *, user_id: UUID, by_rules: bool = True
    ) -> Mapping[UUID, FileView]:
        wanted = list(file_ids)
        if not wanted:
            return {}
        is_open = case((_own_or_shared(user_id), True), else_=False).label("is_open")
        statement = select(*_FILE, is_open).where(files.c.id.in_(wanted), files.c.deleted_at.is_(None))
        return {
            row["id"]: _file(row)
            for row in await self._reads.all(statement)
            if row["is_open"] or (by_rules and await self._rules.may_read(user_id, row["id"]))
        }


# ── What the readers share ───────────────────────────────────────────────────────────────────────


async def _readable(
    file_id: UUID,
    reads: Reads,
    rules: AccessRules,
    principal: Principal,
    *columns: ColumnElement[Any],
    joined: ColumnElement[bool] | None = None,
) -> Mapping[str, Any]:
    """Return a file that the caller may read, with `columns`, and what they were granted as `level`."""
    user_id = principal.require_user()
    granted = and_(file_permissions.c.file_id == files.c.id, file_permissions.c.user_id == user_id)
    level = select(file_permissions.c.level).where(granted).scalar_subquery().label("level")
    source = files if joined is None else files.outerjoin(file_versions, joined)
    row = await reads.one(
        select(*_FILE, *columns, level)
        .select_from(source)
        .where(files.c.id == file_id, files.c.deleted_at.is_(None))
    )
    if row is None:
        raise FileNotFound
    if row["uploaded_by"] != user_id and row["level"] is None and not await rules.may_read(user_id, file_id):
        raise FileNotFound
    return row


def _own_or_shared(user_id: UUID) -> ColumnElement[bool]:
    granted = and_(file_permissions.c.file_id == files.c.id, file_permissions.c.user_id == user_id)
    return or_(files.c.uploaded_by == user_id, exists().where(granted))


def _own_folders(principal: Principal) -> Select[Any]:
    return select(*_FOLDER).where(
        folders.c.owner_id == principal.require_user(), folders.c.deleted_at.is_(None)
    )


async def _quota(owner_id: UUID, reads: Reads, settings: FileManagementSettings) -> QuotaView:
    row = await reads.one(
        select(func.coalesce(func.max(file_usage.c.used_bytes), 0).label("used")).where(
            file_usage.c.owner_id == owner_id
        )
    )
    return QuotaView(int(row["used"]) if row else 0, settings.quota_bytes)


def _from_storage(storage: Storage, key: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
    return storage.read(key, start=start, stop=stop)


def _file(row: Mapping[str, Any]) -> FileView:
    return FileView(
        id=row["id"],
        name=row["name"],
        folder_id=row["folder_id"],
        size=row["size"],
        content_type=row["content_type"],
        checksum_sha256=row["checksum_sha256"],
        version=row["file_version"],
        status=row["status"],
        processing=row["status"] == PROCESSING,
        has_thumbnail=row["has_thumbnail"],
        uploaded_by=row["uploaded_by"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _child(row: Mapping[str, Any]) -> ChildView:
    if row["rank"] == 1:
        return ChildView(kind="file", folder=None, file=_file(row))
    folder = FolderView(
        id=row["id"],
        name=row["name"],
        parent_id=row["folder_id"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
    return ChildView(kind="folder", folder=folder, file=None)
