"""A platform for a check to run the module on: the test kit, without a test."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final, Self

from platform_core._conformance.subject import PEOPLE, Subject
from platform_core._environment import environment
from platform_core.declarations import Tier
from platform_core.errors import StartupFailed

if TYPE_CHECKING:
    from platform_core.testing._databases import Databases
    from platform_core.testing._platform import RunningPlatform
    from platform_core.testing._servers import Addresses

_PROCESS: Final = "main"
_SETTINGS: Final = {
    "PLATFORM_STARTUP_TIMEOUT_SECONDS": "60",  # a busy machine is no fault of the module's
    "PLATFORM_ADMIN_EMAIL": "admin@example.com",
    "PLATFORM_ADMIN_PASSWORD": "a long enough sentence",  # pragma: allowlist secret
}


class Ground:
    """
    Servers that the run has started, databases on them, and platforms on those; gone when the block is left.

    Args:
        subject: the module that platforms are made with, unless said otherwise.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @functools.cached_property
    def addresses(self) -> Addresses:
        """Where the servers are."""
        from platform_core.testing._servers import OwnServers

        source = environment()
        servers = OwnServers(source.get("TEST_DATABASE_URL"), source.get("TEST_REDIS_URL"))
        self._stack.callback(servers.close)
        return servers.addresses()

    @functools.cached_property
    def databases(self) -> Databases:
        """Makes empty databases."""
        from platform_core.testing._databases import Databases

        databases = Databases(self.addresses, _PROCESS)
        self._stack.callback(databases.close)
        return databases

    @contextlib.asynccontextmanager
    async def platform(
        self,
        modules: Sequence[str] | None = None,
        *,
        seeds: bool = False,
        beside: RunningPlatform | None = None,
        **settings: str,
    ) -> AsyncIterator[RunningPlatform]:
        """
        Run the platform for the length of a block.

        Args:
            modules: to load; the module with what it requires by default.
            seeds: with the data that the modules bring for tests.
            beside: on the database of another one.
            settings: environment variables.

        Raises:
            StartupFailed: with this module it does not start, or starts without it.
        """
        # here, because what is only read or imported needs none of it
        from platform_core.testing._platform import Factory
        from platform_core.testing._redis import emptied

        wanted = list(self._subject.modules if modules is None else modules)
        factory = Factory(
            databases=lambda: self.databases, redis_url=lambda: emptied(self.addresses.redis_url, _PROCESS)
        )
        async with factory(wanted, settings={**_SETTINGS, **settings}, beside=beside) as p:
            if failed := [plugin.error for plugin in p.kernel.plugins if plugin.error]:
                raise StartupFailed("The platform starts without it:", failed)
            if seeds:
                await p.seed(Tier.TEST)
                await p.deliver()
            elif PEOPLE in wanted and beside is None:
                await self._roles(p)
            yield p

    async def _roles(self, p: RunningPlatform) -> None:
        from platform_core._seeds import run_seeds

        await run_seeds(p.kernel, "production", module=PEOPLE)
