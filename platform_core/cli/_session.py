"""
Where commands get their settings and their kernel from.

In development a command uses the same platform as `platform dev` in the same directory: its secrets, and its database
and Redis, running or not. Elsewhere it uses what the environment says, and nothing else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from platform_core._environment import environment, is_development

if TYPE_CHECKING:
    from platform_core.app import Kernel

T = TypeVar("T")

DATA_DIR: Final = Path(".platform")
DOTENV: Final = Path(".env")
_NOWHERE: Final = {"DATABASE_URL": "postgresql:///nowhere", "REDIS_URL": "redis://nowhere"}


def read_environment() -> dict[str, str]:
    """Return the environment; with `.env` of the working directory where that, or nothing, says development."""
    plain, completed = environment(), environment(DOTENV)
    return completed if is_development(completed) and is_development({**completed, **plain}) else plain


def data_dir(source: Mapping[str, str]) -> Path:
    """Return where the development platform of this directory keeps its things."""
    return Path(source.get("PLATFORM_DATA_DIR") or DATA_DIR)


@contextlib.contextmanager
def connected_environment() -> Iterator[dict[str, str]]:
    """
    Return variables with which a kernel can be loaded and started.

    In development missing services run for as long as the block lasts.
    """
    from platform_core import _development

    source = read_environment()
    if not is_development(source):
        yield source
        return
    directory = data_dir(source)
    with _development.services(source, directory) as addresses:
        store = _development.SecretStore(directory)
        completed = _development.defaults({**source, **addresses}, directory, store)
        yield _development.with_module_secrets(completed, store)


def assembled_environment() -> dict[str, str]:
    """
    Return variables with which a kernel can be loaded, but not started.

    In development nothing is kept, and what is missing is made up.
    """
    from platform_core import _development

    source = read_environment()
    if not is_development(source):
        return source
    directory = data_dir(source)
    store = _development.SecretStore(directory, keeps=False)
    completed = _development.defaults({**_NOWHERE, **source}, directory, store)
    return _development.with_module_secrets(completed, store)


def load_kernel(source: Mapping[str, str]) -> Kernel:
    """Return the kernel, and log what happens the way people read it; raises as `Kernel.load` does."""
    from platform_core import logs
    from platform_core.app import Kernel
    from platform_core.settings import read_settings

    settings = read_settings(source)
    level = "WARNING" if settings.log_level == "INFO" else settings.log_level
    logs.configure(level=level, json=settings.log_format == "json")
    return Kernel.load(settings, source, leaves_marks=True)


def with_kernel(work: Callable[[Kernel], Awaitable[T]]) -> T:
    """
    Run something on a started kernel, as the platform itself; what it executes is audited as `command line`.

    Args:
        work: given the kernel: `kernel.bus.execute(command)`, `kernel.bus.ask(query)`.
    """
    with connected_environment() as source:
        return with_kernel_of(source, work)


def with_kernel_of(source: Mapping[str, str], work: Callable[[Kernel], Awaitable[T]]) -> T:
    """Do the same where somebody has connected the environment already."""
    import asyncio

    kernel = load_kernel(source)
    check_database(kernel.settings.database_url.get_secret_value())
    return asyncio.run(_as_operator(kernel, work))


def check_database(url: str) -> None:
    """
    Insist on a database that answers now: a process waits for it patiently, a person at a terminal should not.

    Raises:
        psycopg.OperationalError: it does not.
    """
    import psycopg

    from platform_core._pools import libpq_url

    psycopg.connect(libpq_url(url), connect_timeout=5).close()


async def _as_operator(kernel: Kernel, work: Callable[[Kernel], Awaitable[T]]) -> T:
    from dataclasses import replace

    from platform_core.context import Context, bind
    from platform_core.security import SYSTEM

    principal = replace(SYSTEM, label="command line")
    async with kernel.running():
        with bind(Context(principal=principal, primary_reads=True)):
            return await work(kernel)
