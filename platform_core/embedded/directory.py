"""
Where data, sockets, logs and, if need be, programs lie: in reach of the account that the servers run as.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from platform_core.embedded.account import can_enter, not_ours, unprivileged_account
from platform_core.embedded.lock import Lock
from platform_core.embedded.order import EmbeddedServiceError

SOCKET_PATH_LIMIT_BYTES: Final = 100
"""The kernel's limit is 107 on Linux and 103 on macOS."""

LONGEST_SOCKET: Final = ".s.PGSQL.05432.lock"


def make(data_dir: Path) -> None:
    """Make the data directory if it is missing, with an owner and a mode that let the servers in."""
    if not data_dir.exists():
        data_dir.mkdir(parents=True)
        if os.geteuid() == 0:
            data_dir.chmod(0o711)  # passable for the servers' account, whatever the umask says
            parent = data_dir.parent.stat()  # `sudo` in a user's checkout: the data stay the user's
            os.chown(data_dir, parent.st_uid, parent.st_gid)


class Directory:
    """
    A data directory whose lock is ours.

    Attributes:
        account: whom the servers run as; None for the account that this process has.
        home: where the servers' directories are: `data_dir`, or a shelter that the account can reach.
        sockets: where they listen.
        note: what the owner's log should say about it.

    Raises:
        EmbeddedServiceError: it belongs to somebody else, or the account cannot reach it.
    """

    def __init__(self, data_dir: Path, lock: Lock) -> None:
        self._data_dir = data_dir
        self.note: str | None = None
        self.account: pwd.struct_passwd | None = None
        if os.geteuid() == 0:
            with suppress(OSError):  # not allowed in some user namespaces, and then there are none to drop
                os.setgroups([])
            self.account = unprivileged_account(data_dir)
            os.chown(lock.descriptor, self.account.pw_uid, self.account.pw_gid)
        self.home = self._choose_home()
        self._run = self.own(self.home / "run")
        self.sockets = self._choose_sockets()

    def own(self, directory: Path) -> Path:
        """Make the directory if missing and give all of it to the servers' account."""
        directory.mkdir(mode=0o700, exist_ok=True)
        owner_uid = directory.stat().st_uid
        if self.account is None:
            if owner_uid != os.geteuid():
                raise EmbeddedServiceError(not_ours(directory))
        elif owner_uid != self.account.pw_uid:
            self._give(directory)
        return directory

    def log(self, name: str) -> Path:
        """Return the path of a server's log; the previous one is kept beside it."""
        log = self._run / f"{name.lower()}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.previous"))
        return log

    def reachable(self, tree: Path) -> Path:
        """Return the directory of programs, or a copy when the account cannot enter it (`/root/.venv`)."""
        if self.account is None or can_enter(tree, self.account):
            return tree
        programs = self.own(self.home / "programs")
        package = tree.parent
        kind = f"{package.name}-{hashlib.sha256(os.fsencode(tree)).hexdigest()[:8]}"
        copy = programs / f"{kind}-{tree.stat().st_mtime_ns}"
        if not copy.exists():
            for outdated in programs.glob(f"{kind}-*"):
                shutil.rmtree(outdated)
            unfinished = copy.with_name(f"{copy.name}.part")
            shutil.copytree(tree, unfinished / package.name / tree.name, symlinks=True)
            # Where wheels keep the libraries that their programs load, by a path relative to the program.
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
            self._give(unfinished)
            unfinished.rename(copy)
        return copy / package.name / tree.name

    def leave(self) -> None:
        """Remove what was made only for this run."""
        if self.sockets != self._run:
            shutil.rmtree(self.sockets, ignore_errors=True)

    def _choose_sockets(self) -> Path:
        # We have the lock, so whoever made these is gone; PostgreSQL would look at nothing but the process id.
        for leftover in (*self._run.glob(".s.PGSQL.*"), self._run / "redis.sock"):
            leftover.unlink(missing_ok=True)
        # A comma would read as a list of hosts in a connection URL.
        if len(os.fsencode(self._run / LONGEST_SOCKET)) < SOCKET_PATH_LIMIT_BYTES and "," not in str(
            self._run
        ):
            return self._run
        return self.own(Path(tempfile.mkdtemp(prefix="platform-core-")))

    def _choose_home(self) -> Path:
        link = self._data_dir / "embedded"
        if link.is_symlink() and link.exists():
            return link.resolve()
        if self.account is None or can_enter(self._data_dir, self.account):
            return self._data_dir
        if (self._data_dir / "postgres").exists():
            raise EmbeddedServiceError(
                f"{self.account.pw_name}, which the servers run as, can no longer reach {self._data_dir}. "
                "Make every directory on the way passable again (chmod o+x), or give another directory."
            )
        shelter = self._make_shelter(self.account)
        link.unlink(missing_ok=True)
        link.symlink_to(shelter)
        self.note = f"{self.account.pw_name} cannot reach {self._data_dir}: its data are in {shelter}"
        return shelter

    def _make_shelter(self, account: pwd.struct_passwd) -> Path:
        """Make a directory that is new each time: whoever removes `data_dir` starts afresh."""
        name = "embedded-" + hashlib.sha256(os.fsencode(self._data_dir)).hexdigest()[:12] + "-"
        for parent in (Path("/var/lib/platform-core"), Path("/var/tmp"), Path(tempfile.gettempdir())):  # noqa: S108 - mkdtemp
            with suppress(OSError):
                if not parent.exists():
                    parent.mkdir()
                    parent.chmod(0o755)
                shelter = self.own(Path(tempfile.mkdtemp(prefix=name, dir=parent)))
                if can_enter(shelter, account):
                    return shelter
        raise EmbeddedServiceError(
            f"{account.pw_name}, which the servers run as, can reach neither {self._data_dir} nor /var/tmp."
        )

    def _give(self, directory: Path) -> None:
        if self.account:
            for path in (directory, *directory.rglob("*")):
                os.lchown(path, self.account.pw_uid, self.account.pw_gid)
