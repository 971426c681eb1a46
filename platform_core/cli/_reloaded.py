"""The application part of `platform dev --reload`, a child of it; nobody else runs this."""

from __future__ import annotations

import sys

from platform_core.cli._errors import explained
from platform_core.dev import application_part

if __name__ == "__main__":
    with explained():
        application_part(*sys.argv[1:])
