"""
Data that this deployment needs and no module owns: run after the seeds of every module.

    python -m seeds --env development      platform seed --env development

A seed goes through commands, so it is checked and audited like any other change, and running it again changes nothing:

    from platform_core.declarations import Seed, Tier
    from platform_core.ports import Execute
    from user_management.application import EnsureUser

    async def support_desk(execute: Execute) -> None:
        await execute(EnsureUser(email="support@example.com", username="support", full_name="Support"))

    seeds = [Seed(name="support_desk", tier=Tier.ESSENTIAL, run=support_desk)]

The function may ask for any public service, by type. Tiers: essential is right for production, development adds what
makes a new installation worth looking at, test adds what tests count on.
"""

from __future__ import annotations

from collections.abc import Sequence

from platform_core.declarations import Seed

seeds: Sequence[Seed] = ()
