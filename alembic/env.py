"""
Run by Alembic's command line: hands the command to the kernel, which carries it out module by module.
"""

from alembic import context

from platform_core._migrations.console import run_alembic_command
from platform_core.cli._session import read_environment

run_alembic_command(context, read_environment())
