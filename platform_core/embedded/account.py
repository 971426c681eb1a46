"""
Whom root runs the servers as: PostgreSQL refuses to be root.
"""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from pathlib import Path

from platform_core.embedded.order import EmbeddedServiceError


def unprivileged_account(data_dir: Path) -> pwd.struct_passwd:
    """Return the directory's owner, else `postgres`, else `nobody`."""
    if owner_uid := data_dir.stat().st_uid:
        with suppress(KeyError):
            return pwd.getpwuid(owner_uid)
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise EmbeddedServiceError(
        "PostgreSQL refuses to run as root, and this machine has neither a postgres nor a nobody account. "
        "Run as another user, or set DATABASE_URL and REDIS_URL."
    )


def not_ours(path: Path) -> str:
    """Return what to say of a path that belongs to somebody else."""
    owner_uid = path.stat().st_uid
    owner = str(owner_uid)
    with suppress(KeyError):
        owner = pwd.getpwuid(owner_uid).pw_name
    return (
        f"{path} belongs to {owner}. Start as that account, or as root if it was made by root; "
        "or take the whole data directory over with `sudo chown -R`."
    )


def can_enter(directory: Path, account: pwd.struct_passwd) -> bool:
    """Try it as the account: modes alone would not tell about access lists."""
    try:
        os.setegid(account.pw_gid)
        os.seteuid(account.pw_uid)
    except OSError as error:
        problem = (
            f"PostgreSQL refuses to run as root, and root may not become {account.pw_name} here: {error}"
        )
        raise EmbeddedServiceError(problem) from error
    try:
        os.stat(os.path.join(directory, "."))
        return True
    except PermissionError:
        return False
    finally:
        os.seteuid(0)
        os.setegid(0)
