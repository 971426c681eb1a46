"""
create courses and enrolments
"""

import sqlalchemy as sa
from alembic import op

revision = "courses_0001"
down_revision = None
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "courses",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("price_amount", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("price_currency", sa.Text(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=True),
        sa.Column("seats_taken", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("price_amount >= 0", name=op.f("ck_courses_price_amount")),
        sa.CheckConstraint(
            "seats_taken BETWEEN 0 AND COALESCE(capacity, seats_taken)", name=op.f("ck_courses_seats_taken")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_courses")),
        schema="courses",
        comment="What can be learned; seats_taken is changed by the statement that takes or frees a seat.",
    )
    op.create_index(
        "ix_courses_title",
        "courses",
        ["title"],
        unique=False,
        schema="courses",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "enrolments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("student_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["course_id"], ["courses.courses.id"], name=op.f("fk_enrolments_course_id_courses")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrolments")),
        schema="courses",
        comment="Who has a seat in which course; withdrawn ones are deleted.",
    )
    op.create_index(
        "uq_enrolments_student_id",
        "enrolments",
        ["student_id", "course_id"],
        unique=True,
        schema="courses",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index("ix_enrolments_course_id", "enrolments", ["course_id"], unique=False, schema="courses")


def downgrade() -> None:
    op.drop_table("enrolments", schema="courses")
    op.drop_table("courses", schema="courses")
