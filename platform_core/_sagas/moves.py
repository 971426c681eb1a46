"""
The rules of a saga: what comes next, and what becomes of a run when it happened.

    running ── every step done ──────────────────────────► completed
       │  └─── a critical step fails for good ──► needs_attention ── retry, skip, compensate ──► …
       └────── a critical step is refused ──► compensating ── everything taken back ──► compensated
                                                   └──── that fails for good ──► needs_attention

No I/O and no clock: a run goes in, the run as it is then comes out. Whoever stores it is the one who was there first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from platform_core.declarations import Retry, Saga, SagaStep
from platform_core.errors import DomainError, Kind

RUNNING: Final = "running"
COMPENSATING: Final = "compensating"
COMPLETED: Final = "completed"
COMPENSATED: Final = "compensated"
NEEDS_ATTENTION: Final = "needs_attention"

_PENDING: Final = "pending"
_FAILED: Final = "failed"
_SKIPPED: Final = "skipped"
_COMPENSATION_FAILED: Final = "compensation_failed"


class SagaNotActionable(DomainError, kind=Kind.CONFLICT):
    """That cannot be done with this saga as it stands."""


@dataclass(frozen=True, slots=True)
class Step:
    """
    How one step of a run stands.

    Attributes:
        status: pending, running, completed, failed, skipped, compensated or compensation_failed.
        attempts: of its action, that are over; of the batch that it is at.
        error: what the last failed attempt said, for whoever asks.
        refused: its action said no, so there is nothing to take back but the batches before.
        undo_attempts: of its compensation, that are over; of the batch that it is at.
        batches: of its action that are stored, while there is more to do.
        undo_batches: the same of its compensation.
        result: what its command answered last, or how far it is, as JSON.
    """

    name: str
    status: str = _PENDING
    attempts: int = 0
    error: str | None = None
    refused: bool = False
    undo_attempts: int = 0
    batches: int = 0
    undo_batches: int = 0
    result: Any = None

    @property
    def may_have_happened(self) -> bool:
        """Whether there may be something to take back: also where nobody knows how the last attempt ended."""
        return self.status in (COMPLETED, _FAILED) and not (self.refused and self.batches == 0)


@dataclass(frozen=True, slots=True)
class Run:
    """How one run stands; `steps` are those of its definition, in order."""

    status: str
    steps: tuple[Step, ...]

    @property
    def names(self) -> list[str]:
        return [step.name for step in self.steps]

    @property
    def is_going_on(self) -> bool:
        return self.status in (RUNNING, COMPENSATING)


@dataclass(frozen=True, slots=True)
class Move:
    """What comes next: a step's action, or its compensation."""

    step: SagaStep
    is_undo: bool

    @property
    def retry(self) -> Retry:
        return self.step.compensation_retry if self.is_undo else self.step.retry


def begun(saga: Saga) -> Run:
    """Return a new run, at its first step."""
    first, *rest = (Step(step.name) for step in saga.steps)
    return Run(RUNNING, (replace(first, status=RUNNING), *rest))


def next_move(saga: Saga, run: Run) -> Move | None:
    """Return what comes next; None when nothing does."""
    if run.status == RUNNING:
        return next(
            Move(step, is_undo=False)
            for step, stands in zip(saga.steps, run.steps, strict=True)
            if stands.status == RUNNING
        )
    return _next_undo(saga, run.steps) if run.status == COMPENSATING else None


def completed(saga: Saga, run: Run, move: Move, result: Any = None) -> Run:
    """The step's command took effect."""
    stands = _step(run, move)
    if move.is_undo:
        undone = replace(stands, status=COMPENSATED, undo_attempts=stands.undo_attempts + 1)
        return _backward(saga, _with(run.steps, undone))
    done = replace(stands, status=COMPLETED, attempts=stands.attempts + 1, error=None, result=result)
    return _forward(_with(run.steps, done))


def unfinished(run: Run, move: Move, progress: Any = None) -> Run:
    """
    A batch of what the step's command has to do took effect; the same comes next, with all attempts.

    Args:
        progress: kept instead of the result. A compensation that has none keeps what the action answered, which may be
            all that it can find the rest by.
    """
    stands = _step(run, move)
    if move.is_undo:
        going_on = replace(stands, undo_batches=stands.undo_batches + 1, undo_attempts=0)
        kept = stands.result if progress is None else progress
    else:
        going_on = replace(stands, batches=stands.batches + 1, attempts=0)
        kept = progress
    return Run(run.status, _with(run.steps, replace(going_on, error=None, result=kept)))


def refused(saga: Saga, run: Run, move: Move, why: str) -> Run:
    """The step's command said no, and nothing of it happened."""
    if move.is_undo:
        return _stuck(run, move, why)
    stands = _step(run, move)
    no = replace(stands, status=_FAILED, attempts=stands.attempts + 1, error=why, refused=True)
    steps = _with(run.steps, no)
    return _backward(saga, steps) if move.step.critical else _forward(steps)


def failed(saga: Saga, run: Run, move: Move, why: str) -> Run:
    """Nobody knows whether the step's command took effect; it is repeated until its attempts are used up."""
    stands = _step(run, move)
    if move.is_undo:
        if stands.undo_attempts + 1 >= move.retry.attempts_count:
            return _stuck(run, move, why)
        again = replace(stands, undo_attempts=stands.undo_attempts + 1, error=why)
        return Run(COMPENSATING, _with(run.steps, again))
    tried = replace(stands, attempts=stands.attempts + 1, error=why)
    if tried.attempts < move.retry.attempts_count:
        return Run(RUNNING, _with(run.steps, tried))
    steps = _with(run.steps, replace(tried, status=_FAILED))
    return Run(NEEDS_ATTENTION, steps) if move.step.critical else _forward(steps)


# ── what operators may do ────────────────────────────────────────────────────────────────────────


def retried(run: Run) -> Run:
    """
    Go on where it stands, at once and with all attempts.

    Raises:
        SagaNotActionable: it has ended.
    """
    if not (run.is_going_on or run.status == NEEDS_ATTENTION):
        raise SagaNotActionable(f"This saga is {run.status}; there is nothing to try again.")
    is_undoing = run.status == COMPENSATING or _is_stuck(run)
    steps = []
    for step in run.steps:
        if step.status == _COMPENSATION_FAILED:
            step = replace(step, status=COMPLETED)
        elif not is_undoing and (step.status == RUNNING or _waits(run, step)):
            step = replace(step, status=RUNNING, attempts=0)
        steps.append(replace(step, undo_attempts=0))
    return Run(COMPENSATING if is_undoing else RUNNING, tuple(steps))


def skipped(saga: Saga, run: Run) -> Run:
    """
    Leave out the action or compensation that it stands at, and go on with the next.

    Raises:
        SagaNotActionable: it has ended.
    """
    if run.status == COMPENSATING or _is_stuck(run):
        undo = next((step for step in run.steps if step.status == _COMPENSATION_FAILED), None)
        if undo is None and (move := _next_undo(saga, run.steps)) is not None:
            undo = _step(run, move)
        return _backward(saga, run.steps if undo is None else _with(run.steps, _left_out(undo)))
    if not (run.status == RUNNING or run.status == NEEDS_ATTENTION):
        raise SagaNotActionable(f"This saga is {run.status}; there is nothing to leave out.")
    here = next(step for step in run.steps if step.status == RUNNING or _waits(run, step))
    return _forward(_with(run.steps, _left_out(here)))


def taken_back(saga: Saga, run: Run) -> Run:
    """
    Take everything back, a completed run too; what nobody knows of is taken back as if it had happened.

    Raises:
        SagaNotActionable: it was taken back, or that is under way.
    """
    if _is_stuck(run):
        return retried(run)
    if run.status in (COMPENSATING, COMPENSATED):
        raise SagaNotActionable(f"This saga is {run.status} already.")
    # an attempt that is under way may still succeed, but nobody will hear of it
    interrupted = (replace(step, status=_FAILED) if step.status == RUNNING else step for step in run.steps)
    return _backward(saga, tuple(interrupted))


# ── how a run goes on ────────────────────────────────────────────────────────────────────────────


def _forward(steps: tuple[Step, ...]) -> Run:
    following = next((step for step in steps if step.status == _PENDING), None)
    if following is None:
        return Run(COMPLETED, steps)
    return Run(RUNNING, _with(steps, replace(following, status=RUNNING)))


def _backward(saga: Saga, steps: tuple[Step, ...]) -> Run:
    return Run(COMPENSATED if _next_undo(saga, steps) is None else COMPENSATING, steps)


def _next_undo(saga: Saga, steps: Sequence[Step]) -> Move | None:
    for step, stands in zip(reversed(saga.steps), reversed(steps), strict=True):
        if step.compensation is not None and stands.may_have_happened:
            return Move(step, is_undo=True)
    return None


def _stuck(run: Run, move: Move, why: str) -> Run:
    stands = _step(run, move)
    stuck = replace(stands, status=_COMPENSATION_FAILED, undo_attempts=stands.undo_attempts + 1, error=why)
    return Run(NEEDS_ATTENTION, _with(run.steps, stuck))


def _is_stuck(run: Run) -> bool:
    return run.status == NEEDS_ATTENTION and any(step.status == _COMPENSATION_FAILED for step in run.steps)


def _waits(run: Run, step: Step) -> bool:
    """Tell whether this is the step at which the run needs attention: it failed, and nothing came after."""
    if run.status != NEEDS_ATTENTION or step.status != _FAILED:
        return False
    after = run.steps[run.steps.index(step) + 1 :]
    return all(later.status == _PENDING for later in after)


def _left_out(step: Step) -> Step:
    return replace(step, status=_SKIPPED)


def _step(run: Run, move: Move) -> Step:
    return next(step for step in run.steps if step.name == move.step.name)


def _with(steps: tuple[Step, ...], changed: Step) -> tuple[Step, ...]:
    return tuple(changed if step.name == changed.name else step for step in steps)
