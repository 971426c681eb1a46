"""
What a start leaves behind when a plugin kills or blocks the whole process: whose code ran last; private to the kernel.

    start ── marks «bookmarks: importing …» ──► dies; whoever supervises the process starts it again
    start ── marks «bookmarks: importing …» ──► dies again
    start ── finds two marks ── tries bookmarks in a process of its own ──► that one dies, too: it is left out

A plugin that raises, sleeps or loops in Python is cut off in its own process (`_deadline.deadline`); this is for the
rest: `os._exit`, a crash, a loop in C. Marks are only a suspicion: a process may have been killed from outside at that
moment. So one is not enough, a start that comes through clears all of them, and a plugin that survives its trial runs.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import os
import secrets
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import structlog

logger = structlog.get_logger("platform_core.start_marks")

_PATIENCE: Final = 4
_GRACE_SECONDS: Final = 5.0
"""What is cut off by a signal may take three times its limit on a busy machine (`_deadline.deadline`); then some."""

_SUSPICIOUS_COUNT: Final = 2
"""Starts in a row that ended at the same plugin (B33)."""

TRIAL_GRACE_SECONDS: Final = 4.0
"""Beyond the plugin's own limit. The start waits for the trial: all of it has to fit into fifteen seconds (B33)."""


def default_directory() -> Path:
    """Return where this user's processes of this machine leave marks; it must outlive a restart, not a reboot."""
    return Path(tempfile.gettempdir()) / f"platform-core-{os.geteuid()}" / "starts"


class StartMarks:
    """
    The mark of this process, and what earlier ones left.

    A living process holds a lock on its mark, so that marks of several that start at once are not taken for remains.

    Args:
        directory: made if missing; where it cannot be made nothing is marked.
        timeout_seconds: what one import or one hook of a plugin may take.
    """

    def __init__(self, directory: Path, *, timeout_seconds: float) -> None:
        self._directory, self._timeout_seconds = directory, timeout_seconds
        self._limit_seconds = _PATIENCE * timeout_seconds + _GRACE_SECONDS
        self._path = directory / f"{os.getpid()}-{secrets.token_hex(4)}.mark"  # in containers everybody is 1
        self._file: int | None = None
        self._remains: dict[str, tuple[str, list[Path]]] = {}
        self._convicted: set[str] = set()

    @contextlib.contextmanager
    def kept(self) -> Iterator[StartMarks]:
        """Keep a mark for as long as plugins are loaded; it vanishes in order, whatever is raised."""
        with contextlib.suppress(OSError):
            self._open()
        try:
            yield self
        finally:
            if self._file is not None:
                self._forget()
                self._path.unlink(missing_ok=True)
                os.close(self._file)
                self._file = None

    @contextlib.contextmanager
    def at_risk(self, plugin: str, what: str) -> Iterator[None]:
        """
        Mark that the plugin's code is about to run.

        A process that is still there after the limit, and takes no signal, shows where it is and ends.
        """
        if self._file is None:
            yield
            return
        self._write(f"{sys.prefix}\n{plugin}\n{what}")
        faulthandler.dump_traceback_later(self._limit_seconds, exit=True, file=sys.__stderr__ or 2)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            self._write("")

    def convict(self, plugin: str, needs: Sequence[str]) -> str | None:
        """
        Try a plugin in a process of its own, if earlier processes died of it.

        Args:
            needs: the plugins that it cannot be imported without.

        Returns: what happened, when that process died as well; None when there is nothing against the plugin.
        """
        what, paths = self._remains.get(plugin, ("", []))
        if len(paths) < _SUSPICIOUS_COUNT:
            return None
        logger.warning("starts ended while a plugin was loaded; trying it apart", plugin=plugin, at=what)
        ended = self._try([plugin, *needs])
        if ended is None:
            return None
        self._convicted.add(plugin)
        return f"{what} ended the whole process; tried again in a process of its own, that {ended}"

    def _open(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        about = self._directory.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
            logger.warning("no start marks are kept: the folder is not ours alone", path=str(self._directory))
            return
        self._read()
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._file = descriptor

    def _read(self) -> None:
        for path in self._directory.glob("*.mark"):
            with contextlib.suppress(OSError), path.open("rb") as file:  # a living owner's lock is an OSError
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                prefix, _, rest = file.read().decode(errors="replace").partition("\n")
                plugin, _, what = rest.partition("\n")
                if not plugin:
                    path.unlink()  # killed while nobody's code ran
                elif prefix == sys.prefix:
                    self._remains.setdefault(plugin, (what, []))[1].append(path)

    def _forget(self) -> None:
        """Whoever did not end this process either is beyond suspicion."""
        for plugin, (_, paths) in self._remains.items():
            if plugin not in self._convicted:
                for path in paths:
                    path.unlink(missing_ok=True)

    def _write(self, text: str) -> None:
        if self._file is not None:
            content = text.encode()
            os.pwrite(self._file, content, 0)
            os.ftruncate(self._file, len(content))

    def _try(self, plugins: Sequence[str]) -> str | None:
        arguments = [sys.executable, "-m", "platform_core._trial", str(self._timeout_seconds), *plugins]
        try:
            ended = subprocess.run(  # noqa: S603  # no foreign words in it
                arguments, stdin=subprocess.DEVNULL, stdout=2, timeout=self._limit_seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return f"had not ended after {self._limit_seconds:g} s"
        if ended.returncode < 0:
            return f"was ended by {signal.Signals(-ended.returncode).name}"
        return None if ended.returncode == 0 else f"ended with exit code {ended.returncode}"
