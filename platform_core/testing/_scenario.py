"""
Stimulate, wait for what follows, verify: tests of things that happen later; private to the test kit.

The idea is Spring Modulith's. While a scenario waits it runs a worker itself, so nothing depends on timing.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from platform_core.domain import Event

if TYPE_CHECKING:
    from platform_core.testing._platform import RunningPlatform

E = TypeVar("E", bound=Event)
V = TypeVar("V")
W = TypeVar("W")

_POLL_SECONDS = 0.02


class ScenarioFailed(AssertionError):
    """What a scenario waited for did not happen; the message tells what did."""


def scenario(p: RunningPlatform) -> Scenario[None]:
    """
    Begin a scenario; it runs when it is awaited.

    Example:
        await (
            scenario(p)
            .stimulate(lambda: p.execute(RegisterUser(...)))
            .wait_for_event(UserRegistered, where=lambda event: event.email == "ada@example.org")
            .verify(lambda event: check(event.username == "ada"))
        )
    """
    return Scenario(p, [], 5.0)


class Scenario(Generic[V]):
    """
    Steps that run one after the other when awaited; each returns a longer scenario and changes nothing yet.

    Awaiting it returns the last value: the stimulus' answer, or what was waited for.
    """

    def __init__(self, p: RunningPlatform, steps: list[_Step], timeout_seconds: float) -> None:
        self._platform, self._steps, self._timeout_seconds = p, steps, timeout_seconds

    def within(self, seconds: float) -> Scenario[V]:
        """Wait at most so long in each of the following steps; 5 seconds by default."""
        return Scenario(self._platform, self._steps, seconds)

    @overload
    def stimulate(self, act: Callable[[], Awaitable[W]]) -> Scenario[W]: ...
    @overload
    def stimulate(self, act: Callable[[], W]) -> Scenario[W]: ...
    def stimulate(self, act: Callable[[], Awaitable[W] | W]) -> Scenario[W]:
        """Do something; events from now on count."""

        async def step(run: _Run) -> None:
            events = await self._platform.events()
            run.last_position = max((event.position for event in events), default=0)
            run.value = await _awaited(act())

        return self._then(step)

    def wait_for_event(self, kind: type[E], where: Callable[[E], bool] = lambda _: True) -> Scenario[E]:
        """
        Wait for an event of this class that the stimulus led to, directly or through handlers.

        Args:
            where: which one, if there may be several.
        """
        timeout_seconds = self._timeout_seconds

        async def step(run: _Run) -> None:
            async def look() -> E | None:
                return next(
                    (event for event in await run.new_events(self._platform, kind) if where(event)), None
                )

            run.value = await self._patiently(run, look, f"no {kind.wire_name} that fits", timeout_seconds)

        return self._then(step)

    @overload
    def wait_until(self, condition: Callable[[], Awaitable[W | None]], what: str = "") -> Scenario[W]: ...
    @overload
    def wait_until(self, condition: Callable[[], W | None], what: str = "") -> Scenario[W]: ...
    def wait_until(
        self, condition: Callable[[], Awaitable[W | None] | W | None], what: str = ""
    ) -> Scenario[W]:
        """
        Wait until `condition` returns something true, which becomes the value.

        Args:
            what: what it looks for, for the message.
        """
        timeout_seconds = self._timeout_seconds

        async def step(run: _Run) -> None:
            async def look() -> W | None:
                return await _awaited(condition())

            run.value = await self._patiently(
                run, look, what or "the condition did not come true", timeout_seconds
            )

        return self._then(step)

    def verify(self, check: Callable[[V], Any]) -> Scenario[V]:
        """
        Look at the value: by a function that asserts, or by one that returns False where something is wrong.

        Raises:
            ScenarioFailed: it returned False.
        """

        async def step(run: _Run) -> None:
            if await _awaited(check(run.value)) is False:
                raise ScenarioFailed(f"verification failed for {run.value!r}")

        return self._then(step)

    def __await__(self) -> Generator[Any, None, V]:
        return self._run().__await__()

    async def _run(self) -> V:
        run = _Run()
        for step in self._steps:
            await step(run)
        value: V = run.value
        return value

    def _then(self, step: _Step) -> Scenario[Any]:
        return Scenario(self._platform, [*self._steps, step], self._timeout_seconds)

    async def _patiently(
        self, run: _Run, look: Callable[[], Awaitable[W | None]], problem: str, timeout_seconds: float
    ) -> W:
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_seconds
        while True:
            if found := await look():
                return found
            if loop.time() > end:
                raise ScenarioFailed(
                    f"{problem}, within {timeout_seconds:g} s. {await run.story(self._platform)}"
                )
            if not await self._platform.deliver():
                await asyncio.sleep(_POLL_SECONDS)


class _Run:
    """What one run of a scenario knows."""

    def __init__(self) -> None:
        self.value: Any = None
        self.last_position = 0

    async def new_events(self, p: RunningPlatform, kind: type[E]) -> list[E]:
        stored = [event for event in await p.events() if event.name == kind.wire_name]
        old = sum(event.position <= self.last_position for event in stored)
        return (await p.events(kind))[old:]

    async def story(self, p: RunningPlatform) -> str:
        """Tell what did happen since the stimulus."""
        events = [event for event in await p.events() if event.position > self.last_position]
        waiting = [delivery for delivery in await p.deliveries() if delivery.status != "done"]
        lines = [f"The stimulus answered {self.value!r}." if self.value is not None else ""]
        lines.append("What arrived:" if events else "No event arrived.")
        lines += [f"  {event.name} {dict(event.payload)}" for event in events]
        lines += ["Deliveries that are not done:"] if waiting else []
        lines += [
            f"  {d.handler}: {d.status} after {d.attempts_count} attempts, {d.last_error}" for d in waiting
        ]
        return "\n".join(lines).strip()


_Step = Callable[[_Run], Awaitable[None]]


async def _awaited(value: Awaitable[W] | W) -> W:
    return await value if inspect.isawaitable(value) else value
