"""
A process that migrates the kernel and one throw-away module: migrate_once.py URL NAME DIRECTORY.
"""

import sys
from pathlib import Path

from platform_core._migrations import ModuleMigrations, kernel_migrations, upgrade
from platform_core.db import module_metadata

url, name, directory = sys.argv[1:]
module = ModuleMigrations(name=name, version="1.0", directory=Path(directory), metadata=module_metadata(name))
report = upgrade(url, [kernel_migrations(), module], progress=lambda line: print(line, flush=True))
for line in [*report.lines(), *report.failed.values()]:
    print(line, flush=True)
sys.exit(0 if report.ok else 1)
