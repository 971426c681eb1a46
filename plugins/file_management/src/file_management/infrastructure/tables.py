"""The tables of file management, and how its aggregates lie in them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from file_management.domain import File, FileNameTaken, Folder, FolderNameTaken, FolderNotFound, Upload
from platform_core.db import AggregateMap, aggregate_columns, module_metadata
from platform_core.errors import ConcurrentUpdate

METADATA: Final = module_metadata("file_management")

_THERE: Final = text("deleted_at IS NULL")

folders = Table(
    "folders",
    METADATA,
    *aggregate_columns(),
    Column("owner_id", Uuid, nullable=False),
    Column("parent_id", Uuid, ForeignKey("file_management.folders.id")),
    Column("name", Text, nullable=False),
    CheckConstraint("parent_id <> id", name="parent_id"),
    Index(
        "uq_folders_name",
        "owner_id",
        "parent_id",
        "name",
        unique=True,
        postgresql_where=_THERE,
        postgresql_nulls_not_distinct=True,
    ),
    Index("ix_folders_parent_id", "parent_id"),
    comment="A tree for each owner; no parent is the owner's root.",
)

files = Table(
    "files",
    METADATA,
    *aggregate_columns(),
    Column("uploaded_by", Uuid, nullable=False),
    Column("folder_id", Uuid, ForeignKey(folders.c.id)),
    Column("name", Text, nullable=False),
    Column("file_version", Integer, nullable=False),
    Column("object_key", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("checksum_sha256", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("derived", JSONB, nullable=False),
    Column("problem", Text),
    CheckConstraint("status IN ('quarantined', 'processing', 'completed', 'failed')", name="status"),
    CheckConstraint("size >= 0", name="size"),
    Index(
        "uq_files_name",
        "uploaded_by",
        "folder_id",
        "name",
        unique=True,
        postgresql_where=_THERE,
        postgresql_nulls_not_distinct=True,
    ),
    Index("ix_files_uploaded_by", "uploaded_by", "id", postgresql_where=_THERE),
    Index("ix_files_folder_id", "folder_id", "name"),
    Index(
        "ix_files_status",
        "status",
        "updated_at",
        postgresql_where=text("status IN ('quarantined', 'processing')"),
    ),
    Index("ix_files_deleted_at", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    comment="Files with their present content; a name is there once in a folder of an owner.",
)

file_versions = Table(
    "file_versions",
    METADATA,
    Column("file_id", Uuid, ForeignKey(files.c.id, ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("object_key", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("checksum_sha256", Text, nullable=False),
    Column("is_clean", Boolean, nullable=False),
    Column("uploaded_by", Uuid, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Index("ix_file_versions_object_key", "object_key"),
    comment="Every content that a file has or had; a restored one shares its object with the earlier.",
)

file_permissions = Table(
    "file_permissions",
    METADATA,
    Column("file_id", Uuid, ForeignKey(files.c.id, ondelete="CASCADE"), primary_key=True),
    Column("user_id", Uuid, primary_key=True),
    Column("level", Text, nullable=False),
    Column("granted_by", Uuid, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("level IN ('read', 'write')", name="level"),
    Index("ix_file_permissions_user_id", "user_id", "file_id"),
    comment="With whom files are shared, beside their owners.",
)

file_usage = Table(
    "file_usage",
    METADATA,
    Column("owner_id", Uuid, primary_key=True),
    Column("used_bytes", BigInteger, nullable=False),
    CheckConstraint("used_bytes >= 0", name="used_bytes"),
    comment="Bytes of all files of an owner, every version and the deleted ones included.",
)

file_uploads = Table(
    "file_uploads",
    METADATA,
    *aggregate_columns(),
    Column("owner_id", Uuid, nullable=False),
    Column("folder_id", Uuid),
    Column("name", Text, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("parts", JSONB, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("file_id", Uuid),
    CheckConstraint("received BETWEEN 0 AND length", name="received"),
    Index("ix_file_uploads_expires_at", "expires_at"),
    comment="Resumable uploads until they expire, with the keys of the parts that have arrived.",
)

FILES: Final = AggregateMap(
    File,
    files,
    name="file_management.file",
    secret=["object_key", "derived"],
    constraints={
        "uq_files_name": FileNameTaken,
        "fk_files_folder_id_folders": FolderNotFound,
        # two versions at once: the bus looks again and finds the other one
        "pk_file_versions": ConcurrentUpdate,
    },
)
FOLDERS: Final = AggregateMap(
    Folder,
    folders,
    name="file_management.folder",
    constraints={"uq_folders_name": FolderNameTaken, "fk_folders_parent_id_folders": FolderNotFound},
)
UPLOADS: Final = AggregateMap(Upload, file_uploads, name="file_management.upload", secret=["parts"])
