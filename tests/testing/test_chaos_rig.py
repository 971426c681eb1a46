"""The chaos rig as a whole: it fails a run that proves nothing, and tells broken promises with their seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_core.testing.chaos import Chaos, ChaosFailed, Fault, Operation, every

pytestmark = [pytest.mark.processes, pytest.mark.long]

TALLY = Path(__file__).parents[1] / "faults" / "plugins" / "tally"
MARK = Operation(
    path="/api/v1/tally/marks",
    body={"text": "one"},
    command="tally.make_mark",
    events=["tally.marked"],
    table="tally.marks",
)
EFFECTS = {"tally.note": "SELECT event_id FROM tally.effects"}


async def test_a_fault_that_cannot_happen_fails_the_run_instead_of_making_it_look_well(chaos: Chaos) -> None:
    impossible = [every(0.1, 0.2, [Fault("bewitch", "worker 1")])]
    async with chaos([], extra=[TALLY], processes={"api": 1}) as rig:
        with pytest.raises(ExceptionGroup, match="unhandled errors"):
            await rig.run(lambda _: MARK, impossible, acknowledged_count=1_000_000)


async def test_a_broken_promise_is_told_with_the_seed_that_broke_it(chaos: Chaos) -> None:
    """Somebody takes rows away behind the platform's back."""
    async with chaos([], extra=[TALLY], processes={"api": 1, "worker": 1, "scheduler": 1}) as rig:
        await rig.sql(
            "CREATE FUNCTION tally.steal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
        )
        await rig.run(lambda _: MARK, [], acknowledged_count=20, effects=EFFECTS)
        await rig.sql(
            "CREATE TRIGGER steal BEFORE INSERT ON tally.effects FOR EACH ROW EXECUTE FUNCTION tally.steal()"
        )
        with pytest.raises(ChaosFailed, match=f"--chaos-seed {chaos.seed}"):
            await rig.run(lambda _: MARK, [], acknowledged_count=20, effects=EFFECTS, recovery_seconds=3)
