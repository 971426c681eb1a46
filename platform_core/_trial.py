"""
A process in which a suspected plugin is loaded before the platform dares to: `python -m platform_core._trial`.

    python -m platform_core._trial TIMEOUT_SECONDS PLUGIN [NEIGHBOUR …]

Exit code 0: it lived. Whatever the plugin raises is contained, and the start itself tells it; see `_start_marks`.
"""

import contextlib
import faulthandler
import os
import sys

from platform_core._discovery import discover
from platform_core._environment import chosen_modules, environment
from platform_core._hooks import Hooks
from platform_core._pins import pins
from platform_core._start_marks import TRIAL_GRACE_SECONDS
from platform_core.errors import StartupFailed

if __name__ == "__main__":
    timeout_seconds, names = float(sys.argv[1]), sys.argv[2:]
    faulthandler.dump_traceback_later(timeout_seconds + TRIAL_GRACE_SECONDS, exit=True)
    with contextlib.suppress(StartupFailed):
        pinned = pins(chosen_modules(environment()))
        hooks = Hooks(
            discover([str(pinned.get(name, name)) for name in names]), timeout_seconds=timeout_seconds
        )
        for name in hooks.kernel_hooks:
            hooks.collect(name)
    os._exit(0)  # whatever threads the plugins have started
