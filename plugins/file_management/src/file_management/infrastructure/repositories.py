"""Files, folders and uploads in PostgreSQL, for commands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar, cast
from uuid import UUID

from sqlalchemy import Select, Text, and_, any_, delete, func, insert, literal, literal_column, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert

from file_management.application.ports import Remains
from file_management.contracts import Level
from file_management.domain import (
    Blob,
    File,
    FileNotFound,
    Folder,
    FolderNotFound,
    QuotaExceeded,
    Upload,
    UploadNotFound,
    Version,
    VersionNotFound,
)
from file_management.infrastructure.tables import (
    FILES,
    FOLDERS,
    UPLOADS,
    file_permissions,
    file_uploads,
    file_usage,
    file_versions,
    files,
    folders,
)
from platform_core.db import AggregateMap, Repository, UnitOfWork


class SqlFileRepository(Repository[File]):
    """Files that are not deleted, with their versions and whom they are shared with."""

    mapping: ClassVar[AggregateMap[File]] = FILES
    missing = FileNotFound

    async def get_with_deleted(self, identity: UUID) -> File:
        file = await self.find(files.c.id == identity, deleted=True)
        if file is None:
            raise FileNotFound
        return file

    async def find_in_root(self, owner_id: UUID, name: str) -> File | None:
        return await self.find(
            files.c.uploaded_by == owner_id, files.c.folder_id.is_(None), files.c.name == name
        )

    def add_version(self, file: File, uploaded_by: UUID) -> None:
        blob = file.blob
        self.uow.write(
            insert(file_versions).values(
                file_id=file.id,
                number=file.file_version,
                object_key=blob.key,
                size=blob.size,
                content_type=blob.content_type,
                checksum_sha256=blob.checksum_sha256,
                is_clean=blob.is_clean,
                uploaded_by=uploaded_by,
                created_at=file.updated_at,
            )
        )

    async def next_number(self, file_id: UUID) -> int:
        highest = select(func.max(file_versions.c.number).label("n")).where(
            file_versions.c.file_id == file_id
        )
        row = await self.uow.fetch_one(highest)
        return int(row["n"] or 0) + 1 if row else 1

    async def version(self, file_id: UUID, number: int) -> Version:
        found = await self._versions(file_versions.c.file_id == file_id, file_versions.c.number == number)
        if not found:
            raise VersionNotFound
        return found[0]

    async def last_clean_version(self, file_id: UUID) -> Version | None:
        found = await self._versions(file_versions.c.file_id == file_id, file_versions.c.is_clean)
        return found[0] if found else None

    def mark_clean(self, file: File) -> None:
        self.uow.write(
            update(file_versions)
            .where(file_versions.c.file_id == file.id, file_versions.c.object_key == file.object_key)
            .values(is_clean=True)
        )

    def remove_version(self, file_id: UUID, number: int) -> None:
        self.uow.write(
            delete(file_versions).where(file_versions.c.file_id == file_id, file_versions.c.number == number)
        )

    def remove(self, file_id: UUID) -> None:
        self.uow.write(delete(files).where(files.c.id == file_id))

    async def level_of(self, file_id: UUID, user_id: UUID) -> Level | None:
        row = await self.uow.fetch_one(
            select(file_permissions.c.level).where(
                file_permissions.c.file_id == file_id, file_permissions.c.user_id == user_id
            )
        )
        return cast("Level", row["level"]) if row else None

    def grant(self, file_id: UUID, user_id: UUID, level: Level, *, by: UUID, now: datetime) -> None:
        values = {"level": level, "granted_by": by, "created_at": now}
        statement = upsert(file_permissions).values(file_id=file_id, user_id=user_id, **values)
        key = [file_permissions.c.file_id, file_permissions.c.user_id]
        self.uow.write(
            statement.on_conflict_do_update(index_elements=key, set_=values),
            resource=(FILES.name, file_id),
            constraints={"fk_file_permissions_file_id_files": FileNotFound},
        )

    def revoke(self, file_id: UUID, user_id: UUID) -> None:
        self.uow.write(
            delete(file_permissions).where(
                file_permissions.c.file_id == file_id, file_permissions.c.user_id == user_id
            ),
            resource=(FILES.name, file_id),
        )

    async def stuck(self, status: str, since: datetime, limit: int) -> Sequence[File]:
        ids = select(files.c.id).where(files.c.status == status, files.c.updated_at < since).limit(limit)
        return await self.find_all(files.c.id.in_(ids.scalar_subquery()))

    async def purgeable(self, deleted_before: datetime, limit: int) -> Sequence[Remains]:
        keys = select(func.array_agg(file_versions.c.object_key.distinct(), type_=ARRAY(Text)))
        # a restored version shares its object, whose bytes were charged once
        charged: Select[Any] = select(func.sum(literal_column("size"))).select_from(
            select(file_versions.c.object_key, file_versions.c.size)
            .where(file_versions.c.file_id == files.c.id)
            .distinct()
            .correlate(files)
            .subquery("objects")
        )
        rows = await self.uow.fetch_all(
            select(
                files.c.id,
                files.c.uploaded_by,
                files.c.derived,
                keys.where(file_versions.c.file_id == files.c.id).scalar_subquery().label("keys"),
                charged.scalar_subquery().label("charged"),
            )
            .where(files.c.deleted_at < deleted_before)
            .limit(limit)
        )
        return [
            Remains(
                row["id"],
                row["uploaded_by"],
                (*row["keys"], *row["derived"].values()),
                int(row["charged"]),
            )
            for row in rows
        ]

    async def unknown_keys(self, keys: Iterable[str]) -> Sequence[str]:
        asked = list(keys)
        owners = [UUID(key.rpartition("/")[2].partition("_")[0]) for key in asked]
        among = any_(literal(asked, ARRAY(Text)))
        statements = (
            select(func.array_agg(file_versions.c.object_key)).where(file_versions.c.object_key == among),
            select(func.jsonb_agg(files.c.derived)).where(files.c.id.in_(owners)),
            select(func.jsonb_agg(file_uploads.c.parts)).where(file_uploads.c.id.in_(owners)),
        )
        objects, derived, parts = (statement.scalar_subquery() for statement in statements)
        row = await self.uow.fetch_one(
            select(objects.label("objects"), derived.label("derived"), parts.label("parts"))
        )
        assert row is not None  # noqa: S101  # three aggregates are one row
        known = {*(row["objects"] or ())}
        known.update(key for made in row["derived"] or () for key in made.values())
        known.update(key for upload in row["parts"] or () for key, _ in upload)
        return [key for key in asked if key not in known]

    async def _versions(self, *conditions: object) -> list[Version]:
        statement = select(file_versions).where(and_(*conditions)).order_by(file_versions.c.number.desc())  # type: ignore[arg-type]  # columns compared
        return [
            Version(
                row["number"],
                Blob(
                    row["object_key"],
                    row["size"],
                    row["content_type"],
                    row["checksum_sha256"],
                    row["is_clean"],
                ),
                row["uploaded_by"],
                row["created_at"],
            )
            for row in await self.uow.fetch_all(statement.limit(1))
        ]


class SqlFolderRepository(Repository[Folder]):
    """Folders that are not deleted."""

    mapping: ClassVar[AggregateMap[Folder]] = FOLDERS
    missing = FolderNotFound

    async def get_own(self, folder_id: UUID, owner_id: UUID) -> Folder:
        folder = await self.get(folder_id)
        if folder.owner_id != owner_id:
            raise FolderNotFound
        return folder

    async def is_own(self, folder_id: UUID, owner_id: UUID) -> bool:
        return await self.find(folders.c.id == folder_id, folders.c.owner_id == owner_id) is not None

    async def find_in_root(self, owner_id: UUID, name: str) -> Folder | None:
        return await self.find(
            folders.c.owner_id == owner_id, folders.c.parent_id.is_(None), folders.c.name == name
        )

    async def hold_tree(self, owner_id: UUID) -> None:
        await self.uow.begin()
        await self.uow.fetch_one(
            select(func.pg_advisory_xact_lock(func.hashtextextended(f"file_management.tree {owner_id}", 0)))
        )

    async def below(self, folder_id: UUID) -> set[UUID]:
        tree = select(folders.c.id).where(folders.c.id == folder_id).cte("tree", recursive=True)
        tree = tree.union(select(folders.c.id).where(folders.c.parent_id == tree.c.id))
        return {row["id"] for row in await self.uow.fetch_all(select(tree.c.id))}

    def delete_contents(self, folder_ids: Iterable[UUID], *, except_id: UUID, now: datetime) -> None:
        ids = list(folder_ids)
        gone = {"deleted_at": now, "updated_at": now}
        self.uow.write(
            update(folders)
            .where(folders.c.id.in_(ids), folders.c.id != except_id, folders.c.deleted_at.is_(None))
            .values(version=folders.c.version + 1, **gone)
        )
        self.uow.write(
            update(files)
            .where(files.c.folder_id.in_(ids), files.c.deleted_at.is_(None))
            .values(version=files.c.version + 1, **gone)
        )


class SqlUploadRepository(Repository[Upload]):
    """Resumable uploads that were not given up."""

    mapping: ClassVar[AggregateMap[Upload]] = UPLOADS
    missing = UploadNotFound

    async def get_own(self, upload_id: UUID, owner_id: UUID) -> Upload:
        upload = await self.get(upload_id)
        if upload.owner_id != owner_id:
            raise UploadNotFound
        return upload

    async def expired(self, before: datetime, limit: int) -> Sequence[Upload]:
        ids = select(file_uploads.c.id).where(file_uploads.c.expires_at < before).limit(limit)
        return await self.find_all(file_uploads.c.id.in_(ids.scalar_subquery()), deleted=True)

    def remove(self, upload_id: UUID) -> None:
        self.uow.write(delete(file_uploads).where(file_uploads.c.id == upload_id))


class SqlUsage:
    """One row for each owner, changed by the statement that stores what is charged."""

    def __init__(self, uow: UnitOfWork) -> None:
        self._uow = uow

    def charge(self, owner_id: UUID, size: int, *, limit: int) -> None:
        if size > limit:
            raise QuotaExceeded
        statement = upsert(file_usage).values(owner_id=owner_id, used_bytes=size)
        total = file_usage.c.used_bytes + statement.excluded.used_bytes
        self._uow.write(
            statement.on_conflict_do_update(
                index_elements=[file_usage.c.owner_id], set_={"used_bytes": total}, where=total <= limit
            ),
            expect=1,
            otherwise=QuotaExceeded,
        )

    def release(self, owner_id: UUID, size: int) -> None:
        left = func.greatest(file_usage.c.used_bytes - size, 0)
        self._uow.write(update(file_usage).where(file_usage.c.owner_id == owner_id).values(used_bytes=left))
