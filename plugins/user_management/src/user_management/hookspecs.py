"""
The extension points of `user_management`: what modules do for people who come and who go.

    @hookimpl(optionalhook=True)
    def onboarding_steps():
        return [SagaStep(name="trips.map", action=draw_map, critical=False)]

    def draw_map(run: SagaRun) -> DrawMap:
        return DrawMap(map_id=run.id, user_id=UUID(run.data["user_id"]))

The commands are the contributing module's own, so nobody needs to know whom. Nobody waits for them: workers take one
step after the other, and a step that fails is noted and passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from platform_core.declarations import SagaStep
from platform_core.hookspecs import hookspec
from platform_core.ports import SagaRun

__all__ = ["WELCOME", "offboarding_steps", "onboarding_steps", "prepared"]

WELCOME: Final = 100
"""Rank of steps that come when everything is prepared."""


@hookspec
def onboarding_steps() -> Sequence[SagaStep]:  # type: ignore[empty-body]  # a specification has no body
    """
    Offer steps that prepare something for everybody who registers.

    When called: at the start, after the modules' own sagas were collected.
    Return: steps that are not critical; their names begin with the plugin's name. `run.data["user_id"]` says for whom.
        A command that made something answers `user_management.Prepared`, and a later welcome names it.
    Must not: take for granted that the account is still there, or that the step was not taken before.
    On error: the plugin fails; runs that have come to its steps wait for it.
    Since: 0.1
    """


@hookspec
def offboarding_steps() -> Sequence[SagaStep]:  # type: ignore[empty-body]  # as above
    """
    Offer steps that put in order what somebody leaves whose account was deleted.

    When called: at the start, after the modules' own sagas were collected.
    Return: steps that are not critical; their names begin with the plugin's name. `run.data["user_id"]` says who left.
        Somebody may leave any number of things: do so many at a time, and answer `Unfinished`.
    Must not: ask `UserDirectory` for them; it does not know them any more.
    On error: the plugin fails; runs that have come to its steps wait for it.
    Since: 0.1
    """


def prepared(run: SagaRun) -> list[str]:
    """Return the names of what the steps before have made, in their order."""
    made = (result.get("name") for result in run.results.values() if isinstance(result, dict))
    return [name for name in made if isinstance(name, str)]
