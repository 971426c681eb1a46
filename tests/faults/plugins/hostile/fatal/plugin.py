"""Ends its process while it is imported, or never lets it go on: as the variable FATAL says."""

from __future__ import annotations

import collections
import itertools
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from platform_core import hookimpl
from platform_core.http import Router

router = Router()


@router.get("/fatal", public=True, summary="Be there")
async def be_there() -> str:
    return "alive"


@hookimpl
def register_routes() -> Sequence[Router]:
    return [router]


match os.environ.get("FATAL", "").partition(":"):
    case ("exit", _, _):
        os._exit(3)
    case ("crash", _, _):
        os.kill(os.getpid(), signal.SIGSEGV)
    case ("deaf", _, _):
        collections.deque(itertools.repeat(None), maxlen=0)  # a loop in C, which no signal interrupts
    case ("twice", _, path) if not Path(path).exists() or len(Path(path).read_bytes()) < 2:
        with Path(path).open("ab") as file:
            file.write(b"!")
        os.kill(os.getpid(), signal.SIGKILL)
