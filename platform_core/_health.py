"""`/health/live`, `/health/ready` and `/metrics`: plain routes outside the API, for orchestrators and Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from platform_core._migrations import read_database
from platform_core._pools import KERNEL
from platform_core.cache import RedisAway
from platform_core.errors import Cause, OperationError, PlatformError
from platform_core.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from platform_core.app import Kernel

logger = structlog.get_logger("platform_core.health")

OWN_CHECKS: Final = ("database", "redis", "storage", "migrations", "replica")
"""Names of the kernel's own checks; no module may call one of its checks so."""

_CHECK_TIMEOUT_SECONDS: Final = 2.0
_FRESH_SECONDS: Final = 1.0
_LARGEST_SKEW_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """
    Whether the process can serve, and what it can do without.

    Attributes:
        status: `ok`, `degraded` (something that the platform can do without is away) or `unavailable`.
        checks: name → `ok`, `ok: ` and a remark, or what is wrong.
    """

    status: str
    checks: Mapping[str, str]


class Health:
    """
    Looks at everything that the platform hangs on.

    Args:
        kernel: started.
        is_stopping: tells whether the process is shutting down, so that no new requests should come.
    """

    def __init__(self, kernel: Kernel, is_stopping: Callable[[], bool]) -> None:
        self._kernel, self._is_stopping = kernel, is_stopping
        self._latest: tuple[float, Readiness] | None = None
        self._asking = asyncio.Lock()

    async def readiness(self) -> Readiness:
        """Run every check at once; an answer of the last second is used again, however many ask."""
        if self._is_stopping():
            return Readiness("unavailable", {"process": "is shutting down"})
        async with self._asking:
            if self._latest is None or time.monotonic() - self._latest[0] > _FRESH_SECONDS:
                self._latest = (time.monotonic(), await self._look())
            return self._latest[1]

    async def _look(self) -> Readiness:
        kernel = self._kernel
        own = (self._database(), kernel.redis.ping(), kernel.storage.ping(), self._migrations())
        checks: dict[str, Awaitable[str | None]] = dict(zip(OWN_CHECKS, own, strict=False))
        if kernel.replica.is_configured:
            checks["replica"] = kernel.replica.check()
        for module, declared in kernel.declared.items():
            if module in kernel.switches.off:
                continue  # it is away on purpose
            for check in declared.health_checks:
                checks[check.name] = kernel.check(module, check)
        answers = await asyncio.gather(*(_answer(name, check) for name, check in checks.items()))
        found = dict(zip(checks, answers, strict=True))
        found |= {plugin.name: _told(plugin.error.cause) for plugin in kernel.plugins if plugin.error}
        if found["database"] != "ok" or found["migrations"].startswith("required"):
            return Readiness("unavailable", found)
        return Readiness("ok" if all(map(_is_ok, found.values())) else "degraded", found)

    async def _database(self) -> None:
        async with self._kernel.pools.reads(KERNEL, primary=True).connect() as connection:
            [row] = await connection.fetch("SELECT extract(epoch FROM clock_timestamp())::float8 AS now")
        skew = abs(time.time() - row["now"])
        if skew > _LARGEST_SKEW_SECONDS:
            raise OperationError(
                f"this machine's clock differs from the database's by {skew:.0f} s, so its tokens and deadlines are"
                " wrong; let both be set by the same time server (NTP)"
            )

    async def _migrations(self) -> None:
        kernel = self._kernel
        async with kernel.pools.reads(KERNEL, primary=True).connect() as connection:
            state = await read_database(connection, kernel.migrations)
        # a process that was there before the first migration learns the roles here
        await kernel.pools.adopt(state.roles if kernel.settings.database_roles else {})
        waiting = state.not_ready
        if waiting:
            required = {plugin.name for plugin in kernel.plugins if plugin.is_required}
            kind = "required" if required.intersection(module.name for module in waiting) else "optional"
            raise OperationError(
                f"{kind} modules are not migrated ({'; '.join(map(str, waiting))}): run `platform db upgrade`"
            )


def _told(cause: Cause) -> str:
    """Say in one line why a module is left out, and what to do."""
    return " ".join(f"failed: {cause.problem}; {cause.hint}".split()).removesuffix(";")


def _is_ok(answer: str) -> bool:
    return answer.partition(":")[0] == "ok"


async def _answer(name: str, check: Awaitable[str | None]) -> str:
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT_SECONDS):
            remark = await check
    except PlatformError as error:
        return error.message
    except Exception as error:  # noqa: BLE001  # whatever a check raises means that its thing is away
        logger.warning("health check failed", check=name, error=f"{type(error).__name__}: {error}")
        return "away"
    return f"ok: {remark}" if remark else "ok"


def routes(kernel: Kernel, is_stopping: Callable[[], bool], *, details: bool) -> list[Route]:
    """
    Return the three routes.

    Args:
        details: show each check and the metrics; in production only the internal port does.
    """
    health = Health(kernel, is_stopping)

    async def live(_request: Request) -> Response:
        return _json({"status": "alive"})

    async def ready(_request: Request) -> Response:
        readiness = await health.readiness()
        body: dict[str, Any] = {"status": readiness.status}
        if details:
            body["checks"] = dict(readiness.checks)
        return _json(body, 503 if readiness.status == "unavailable" else 200)

    async def metrics(_request: Request) -> Response:
        if not kernel.redis.is_available:
            # a process that nobody asks anything would tell for ever that Redis is away
            with contextlib.suppress(RedisAway):
                await kernel.redis.ping()
        return Response(kernel.metrics.render(), media_type=CONTENT_TYPE)

    shown = [Route("/metrics", metrics, name="metrics")] if details else []
    return [Route("/health/live", live, name="live"), Route("/health/ready", ready, name="ready"), *shown]


def _json(body: Mapping[str, Any], status: int = 200) -> Response:
    return Response(
        orjson.dumps(body), status, media_type="application/json", headers={"Cache-Control": "no-store"}
    )
