"""
create files, their versions and permissions, folders, quotas and resumable uploads
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "file_management_0001"
down_revision = None
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "file_uploads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("folder_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("parts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("received BETWEEN 0 AND length", name=op.f("ck_file_uploads_received")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_file_uploads")),
        schema="file_management",
        comment="Resumable uploads until they expire, with the keys of the parts that have arrived.",
    )
    op.create_index(
        "ix_file_uploads_expires_at", "file_uploads", ["expires_at"], unique=False, schema="file_management"
    )
    op.create_table(
        "file_usage",
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("used_bytes", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("used_bytes >= 0", name=op.f("ck_file_usage_used_bytes")),
        sa.PrimaryKeyConstraint("owner_id", name=op.f("pk_file_usage")),
        schema="file_management",
        comment="Bytes of all files of an owner, every version and the deleted ones included.",
    )
    op.create_table(
        "folders",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.CheckConstraint("parent_id <> id", name=op.f("ck_folders_parent_id")),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["file_management.folders.id"], name=op.f("fk_folders_parent_id_folders")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_folders")),
        schema="file_management",
        comment="A tree for each owner; no parent is the owner's root.",
    )
    op.create_index("ix_folders_parent_id", "folders", ["parent_id"], unique=False, schema="file_management")
    op.create_index(
        "uq_folders_name",
        "folders",
        ["owner_id", "parent_id", "name"],
        unique=True,
        schema="file_management",
        postgresql_where=sa.text("deleted_at IS NULL"),
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "files",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("uploaded_by", sa.Uuid(), nullable=False),
        sa.Column("folder_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("file_version", sa.Integer(), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("checksum_sha256", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("derived", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "status IN ('quarantined', 'processing', 'completed', 'failed')", name=op.f("ck_files_status")
        ),
        sa.CheckConstraint("size >= 0", name=op.f("ck_files_size")),
        sa.ForeignKeyConstraint(
            ["folder_id"], ["file_management.folders.id"], name=op.f("fk_files_folder_id_folders")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
        schema="file_management",
        comment="Files with their present content; a name is there once in a folder of an owner.",
    )
    op.create_index(
        "ix_files_deleted_at",
        "files",
        ["deleted_at"],
        unique=False,
        schema="file_management",
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.create_index(
        "ix_files_folder_id", "files", ["folder_id", "name"], unique=False, schema="file_management"
    )
    op.create_index(
        "ix_files_status",
        "files",
        ["status", "updated_at"],
        unique=False,
        schema="file_management",
        postgresql_where=sa.text("status IN ('quarantined', 'processing')"),
    )
    op.create_index(
        "ix_files_uploaded_by",
        "files",
        ["uploaded_by", "id"],
        unique=False,
        schema="file_management",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "uq_files_name",
        "files",
        ["uploaded_by", "folder_id", "name"],
        unique=True,
        schema="file_management",
        postgresql_where=sa.text("deleted_at IS NULL"),
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "file_permissions",
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("granted_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("level IN ('read', 'write')", name=op.f("ck_file_permissions_level")),
        sa.ForeignKeyConstraint(
            ["file_id"],
            ["file_management.files.id"],
            name=op.f("fk_file_permissions_file_id_files"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("file_id", "user_id", name=op.f("pk_file_permissions")),
        schema="file_management",
        comment="With whom files are shared, beside their owners.",
    )
    op.create_index(
        "ix_file_permissions_user_id",
        "file_permissions",
        ["user_id", "file_id"],
        unique=False,
        schema="file_management",
    )
    op.create_table(
        "file_versions",
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("checksum_sha256", sa.Text(), nullable=False),
        sa.Column("is_clean", sa.Boolean(), nullable=False),
        sa.Column("uploaded_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["file_id"],
            ["file_management.files.id"],
            name=op.f("fk_file_versions_file_id_files"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("file_id", "number", name=op.f("pk_file_versions")),
        schema="file_management",
        comment="Every content that a file has or had; a restored one shares its object with the earlier.",
    )
    op.create_index(
        "ix_file_versions_object_key", "file_versions", ["object_key"], unique=False, schema="file_management"
    )


def downgrade() -> None:
    for table in ("file_versions", "file_permissions", "files", "folders", "file_usage", "file_uploads"):
        op.drop_table(table, schema="file_management")
