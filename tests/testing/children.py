"""A program that leaves a child behind, and whether processes are gone."""

import subprocess
import time
from contextlib import suppress

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
print("child", child.pid, flush=True)
time.sleep(300)
"""


def is_alive(pid: int) -> bool:
    with suppress(OSError):
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    return (
        subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip(
            "Z\n "
        )
        != ""
    )


def gone(pid: int) -> bool:
    end = time.monotonic() + 10
    while is_alive(pid):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
