"""
Migrations over all modules: the kernel orders modules, Alembic orders the revisions of one; private to the kernel.

    platform db upgrade ─┐                            ┌─ one module after the other: own schema, own version table,
    alembic upgrade head ┼─ lock ─ what is pending? ──┤  own transaction; who fails takes only its dependents along
    platform dev ────────┘                            └─ then links across modules, then database roles

revisions  files as data, checked            state     what is pending: one query, no Alembic
lock       one migrator at a time            steps     where Alembic is called
run        one module, with retries          upgrade, downgrade, offline   over all modules
links      foreign keys across modules       roles     who may touch what
lint       what a revision must not do       squawk    the same, of somebody who knows PostgreSQL
clone      a copy to try things on           watch     locks, rows and sizes while revisions run
rehearsal  what is pending, on a copy        check     up, down and up again on an empty database
"""

from platform_core._migrations.downgrade import downgrade, remove_links
from platform_core._migrations.downgrade import planned as downgrade_plan
from platform_core._migrations.links import LinkReport
from platform_core._migrations.plan import installed_migrations, kernel_migrations, module_migrations
from platform_core._migrations.reports import AppliedRevision, ModuleReport, Report
from platform_core._migrations.revisions import ModuleMigrations, Phase, Revision, read_revisions
from platform_core._migrations.state import (
    DatabaseState,
    ModuleState,
    read_database,
    read_database_sync,
    state_of,
)
from platform_core._migrations.upgrade import upgrade

__all__ = [
    "AppliedRevision",
    "DatabaseState",
    "LinkReport",
    "ModuleMigrations",
    "ModuleReport",
    "ModuleState",
    "Phase",
    "Report",
    "Revision",
    "downgrade",
    "downgrade_plan",
    "installed_migrations",
    "kernel_migrations",
    "module_migrations",
    "read_database",
    "read_database_sync",
    "read_revisions",
    "remove_links",
    "state_of",
    "upgrade",
]
