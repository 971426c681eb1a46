"""The rules of a saga alone: whatever happens, and whatever operators decide, what was done is kept or taken back."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_core._sagas import moves
from platform_core._sagas.moves import Run, SagaNotActionable
from platform_core.declarations import Retry, Saga, SagaStep

TWICE = Retry(attempts_count=2)


def nothing(run: Any) -> Any:
    raise AssertionError("rules make no commands")


def step(name: str, *, undo: bool = True, critical: bool = True) -> SagaStep:
    compensation = nothing if undo else None
    return SagaStep(
        name=name,
        action=nothing,
        compensation=compensation,
        retry=TWICE,
        compensation_retry=TWICE,
        critical=critical,
    )


SAGA = Saga(
    name="a.b", steps=[step("pay"), step("seat"), step("mail", undo=False, critical=False), step("end")]
)
OUTCOMES = ("completed", "refused", "failed", "unfinished")
DECISIONS = ("retry", "skip", "compensate")


def after(run: Run, happened: str) -> Run:
    move = moves.next_move(SAGA, run)
    assert move is not None
    if happened == "completed":
        return moves.completed(SAGA, run, move, {"done": move.step.name})
    if happened == "refused":
        return moves.refused(SAGA, run, move, "no")
    if happened == "unfinished":
        return moves.unfinished(run, move)
    return moves.failed(SAGA, run, move, "nobody knows")


def decided(run: Run, decision: str) -> Run:
    if decision == "retry":
        return moves.retried(run)
    return moves.skipped(SAGA, run) if decision == "skip" else moves.taken_back(SAGA, run)


def story(*what: str) -> Run:
    run = moves.begun(SAGA)
    for happened in what:
        run = after(run, happened) if happened in OUTCOMES else decided(run, happened)
    return run


def statuses(run: Run) -> list[str]:
    return [step.status for step in run.steps]


def test_every_step_is_taken_in_order() -> None:
    assert statuses(moves.begun(SAGA)) == ["running", "pending", "pending", "pending"]
    run = story("completed", "completed", "completed", "completed")
    assert (run.status, statuses(run)) == ("completed", ["completed"] * 4)
    assert run.steps[1].result == {"done": "seat"}
    assert moves.next_move(SAGA, run) is None


@pytest.mark.parametrize(
    ("happened", "status", "steps"),
    [
        (["refused"], "compensated", "failed pending pending pending"),
        (["completed", "refused"], "compensating", "completed failed pending pending"),
        (["completed", "refused", "completed"], "compensated", "compensated failed pending pending"),
        (["completed", "completed", "refused"], "running", "completed completed failed running"),
        (["completed", "completed", "failed", "failed"], "running", "completed completed failed running"),
        (["completed", "failed"], "running", "completed running pending pending"),
        (["completed", "failed", "failed"], "needs_attention", "completed failed pending pending"),
        # what nobody knows of is taken back as if it had happened, the last first
        (["completed", "failed", "failed", "compensate"], "compensating", "completed failed pending pending"),
        (
            ["completed", "failed", "failed", "compensate", "completed"],
            "compensating",
            "completed compensated pending pending",
        ),
        (["completed", "failed", "failed", "skip"], "running", "completed skipped running pending"),
        (["completed", "failed", "failed", "retry"], "running", "completed running pending pending"),
        (["completed", "failed", "compensate"], "compensating", "completed failed pending pending"),
        (["skip", "skip", "compensate"], "compensated", "skipped skipped failed pending"),
        # a compensation that is refused, or fails for good, waits for somebody
        (
            ["completed", "refused", "refused"],
            "needs_attention",
            "compensation_failed failed pending pending",
        ),
        (
            ["completed", "refused", "failed", "failed"],
            "needs_attention",
            "compensation_failed failed pending pending",
        ),
        (["completed", "refused", "refused", "retry"], "compensating", "completed failed pending pending"),
        (
            ["completed", "refused", "refused", "compensate"],
            "compensating",
            "completed failed pending pending",
        ),
        (["completed", "refused", "refused", "skip"], "compensated", "skipped failed pending pending"),
        (["completed", "refused", "skip"], "compensated", "skipped failed pending pending"),
        # a step of many batches: those before a refusal happened, and each has all attempts
        (["unfinished", "unfinished"], "running", "running pending pending pending"),
        (["unfinished", "failed", "unfinished", "failed"], "running", "running pending pending pending"),
        (["unfinished", "refused"], "compensating", "failed pending pending pending"),
        (["unfinished", "refused", "unfinished"], "compensating", "failed pending pending pending"),
        (["unfinished", "refused", "completed"], "compensated", "compensated pending pending pending"),
    ],
)
def test_what_becomes_of_a_run(happened: list[str], status: str, steps: str) -> None:
    run = story(*happened)
    assert (run.status, " ".join(statuses(run))) == (status, steps)


def test_a_compensation_in_batches_keeps_what_its_action_answered_until_it_has_progress_of_its_own() -> None:
    run = story("completed", "refused", "unfinished", "unfinished")
    assert run.steps[0].undo_batches == 2
    assert run.steps[0].result == {"done": "pay"}
    move = moves.next_move(SAGA, run)
    assert move is not None
    assert moves.unfinished(run, move, 0).steps[0].result == 0


def test_an_operators_retry_gives_every_attempt_back() -> None:
    run = story("failed", "failed", "retry", "failed")
    assert (run.status, run.steps[0].attempts) == ("running", 1)


def test_what_has_ended_is_left_alone() -> None:
    done, back = story(*["completed"] * 4), story("refused")
    for run, decisions in ((done, ("retry", "skip")), (back, DECISIONS)):
        for decision in decisions:
            with pytest.raises(SagaNotActionable):
                decided(run, decision)
    with pytest.raises(SagaNotActionable, match="compensating already"):
        story("completed", "refused", "compensate")


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from([*OUTCOMES * 3, *DECISIONS]), max_size=40))
def test_whatever_happens_what_was_done_is_kept_or_taken_back(happened: list[str]) -> None:
    run, has_turned = moves.begun(SAGA), False
    for what in happened:
        if what in DECISIONS:
            with contextlib.suppress(SagaNotActionable):
                run = decided(run, what)
        elif run.is_going_on:
            run = after(run, what)
        has_turned = has_turned or run.status in ("compensating", "compensated")
        check(run, has_turned=has_turned)
    for _ in range(20):  # left to itself where nothing fails, it ends
        if run.is_going_on:
            run = after(run, "completed")
    assert run.status in ("completed", "compensated", "needs_attention")


def check(run: Run, *, has_turned: bool) -> None:
    move = moves.next_move(SAGA, run)
    assert (move is not None) == run.is_going_on
    assert move is None or move.is_undo == has_turned, "B37: no step forward once it goes back"
    assert statuses(run).count("running") == (run.status == "running"), "it is at one place, or nowhere"
    if run.status == "completed":
        assert "pending" not in statuses(run)
        critical = [stands for stands, one in zip(run.steps, SAGA.steps, strict=True) if one.critical]
        assert {stands.status for stands in critical} <= {"completed", "skipped"}
    if run.status == "compensated":
        undone = [stands for stands, one in zip(run.steps, SAGA.steps, strict=True) if one.compensation]
        assert not any(stands.may_have_happened for stands in undone), "nothing is left behind"
