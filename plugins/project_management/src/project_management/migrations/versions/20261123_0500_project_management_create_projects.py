"""
create projects with their members, expenses and milestones
"""

import sqlalchemy as sa
from alembic import op

revision = "project_management_0001"
down_revision = None
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "projects",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("budget_amount", sa.Numeric(precision=19, scale=4), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("start_date", sa.Date(), nullable=True),
        sa.Column("end_date", sa.Date(), nullable=True),
        sa.CheckConstraint(
            "status IN ('active', 'on_hold', 'completed', 'archived')", name=op.f("ck_projects_status")
        ),
        sa.CheckConstraint("budget_amount >= 0", name=op.f("ck_projects_budget_amount")),
        sa.CheckConstraint(
            "budget_amount IS NULL OR currency IS NOT NULL", name=op.f("ck_projects_currency")
        ),
        sa.CheckConstraint("end_date >= start_date", name=op.f("ck_projects_end_date")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("id", "currency", name=op.f("uq_projects_id_currency")),
        schema="project_management",
        comment="Projects; currency is set by the first budget or expense.",
    )
    op.create_index(
        "ix_projects_owner_id",
        "projects",
        ["owner_id", "id"],
        unique=False,
        schema="project_management",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "project_members",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "role IN ('owner', 'manager', 'member', 'viewer')", name=op.f("ck_project_members_role")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project_management.projects.id"],
            name=op.f("fk_project_members_project_id_projects"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "user_id", name=op.f("pk_project_members")),
        schema="project_management",
        comment="Who is in which project, and what they may do there.",
    )
    op.create_index(
        "ix_project_members_user_id",
        "project_members",
        ["user_id", "project_id"],
        unique=False,
        schema="project_management",
    )
    op.create_table(
        "expenses",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=19, scale=4), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("spent_on", sa.Date(), nullable=False),
        sa.Column("recorded_by", sa.Uuid(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_expenses_amount")),
        sa.ForeignKeyConstraint(
            ["project_id", "currency"],
            ["project_management.projects.id", "project_management.projects.currency"],
            name="fk_expenses_currency_projects",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_expenses")),
        schema="project_management",
        comment="What projects cost, in the currency of the project.",
    )
    op.create_index(
        "ix_expenses_project_id",
        "expenses",
        ["project_id", "id"],
        unique=False,
        schema="project_management",
        postgresql_include=["amount"],
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "milestones",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("due_date", sa.Date(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project_management.projects.id"],
            name=op.f("fk_milestones_project_id_projects"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_milestones")),
        schema="project_management",
        comment="Days by which something is to be reached.",
    )
    op.create_index(
        "ix_milestones_due_date",
        "milestones",
        ["project_id", "due_date", "id"],
        unique=False,
        schema="project_management",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )


def downgrade() -> None:
    for table in ("milestones", "expenses", "project_members", "projects"):
        op.drop_table(table, schema="project_management")
