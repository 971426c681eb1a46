"""How much memory may still be filled here: the machine's, and what a container's limit leaves of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_FILES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
"""Limit and use, in cgroup v2 and in v1."""


def available_bytes(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """
    Return how many bytes can be taken before something is killed for want of memory.

    What a tmpfs has free does not tell: that is a nominal size, and its pages count against the limit of the
    container that fills them (https://docs.kernel.org/admin-guide/cgroup-v2.html, `memory.stat`: `shmem`).

    Returns:
        0 where the system does not tell.
    """
    machine = _figures(proc / "meminfo").get("MemAvailable:", 0) * 1024
    return min([machine, *_left(proc, cgroups)])


def _left(proc: Path, cgroups: Path) -> Iterator[int]:
    """Return what each limit leaves; what is cached of files gives way and does not count as used."""
    for group in _groups(proc, cgroups):
        for limit, used in _FILES:
            if (most := _text(group / limit).strip()).isdecimal():
                cached = _figures(group / "memory.stat")
                given_way = cached.get("total_inactive_file", cached.get("inactive_file", 0))
                yield int(most) - int(_text(group / used) or 0) + given_way


def _groups(proc: Path, cgroups: Path) -> Iterator[Path]:
    """Return this process's groups and those above; in a container, the topmost is often all that can be seen."""
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or "memory" in controllers.split(","):
            top = cgroups / ("memory" if controllers else "")
            group = top / path.strip("/")
            yield group
            yield from (above for above in group.parents if above.is_relative_to(top))


def _figures(table: Path) -> dict[str, int]:
    rows = (line.split() for line in _text(table).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:  # another system, or another version of cgroups
        return ""
