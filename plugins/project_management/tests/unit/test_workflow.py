"""The life of a task: every status against every other, as the contract says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from platform_core.domain import new_id
from project_management.contracts import TaskAssigned, TaskCreated, TaskStatus, TaskStatusChanged, TaskUpdated
from project_management.domain import IllegalTransition, Task

NOW = datetime(2026, 11, 23, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
EVE = new_id()
STATUSES: tuple[TaskStatus, ...] = get_args(TaskStatus)
ALLOWED = {
    ("todo", "in_progress"),
    ("todo", "cancelled"),
    ("in_progress", "review"),
    ("in_progress", "done"),
    ("in_progress", "todo"),
    ("in_progress", "cancelled"),
    ("review", "in_progress"),
    ("review", "done"),
    ("done", "in_progress"),
    ("cancelled", "todo"),
}


def task(status: TaskStatus = "todo") -> Task:
    made = Task.create(
        task_id=new_id(),
        project_id=new_id(),
        title=" Paint ",
        description=None,
        priority="medium",
        due_date=None,
        estimated_minutes=None,
        parent_id=None,
        created_by=EVE,
        now=NOW,
    )
    made.status = status
    made.mark_stored()
    made.release_events()
    return made


@pytest.mark.parametrize("before", STATUSES)
@pytest.mark.parametrize("after", STATUSES)
def test_a_task_goes_on_as_the_workflow_says(before: TaskStatus, after: TaskStatus) -> None:
    one = task(before)
    if (before, after) in ALLOWED:
        one.move_to(after, by=EVE, now=LATER)
        [event] = one.release_events()
        assert isinstance(event, TaskStatusChanged)
        assert (event.before, event.after, one.status, one.version) == (before, after, after, 2)
    elif before == after:
        one.move_to(after, by=EVE, now=LATER)
        assert (one.version, one.release_events()) == (1, [])
    else:
        with pytest.raises(IllegalTransition) as refused:
            one.move_to(after, by=EVE, now=LATER)
        assert set(refused.value.extra["allowed"]) == {to for frm, to in ALLOWED if frm == before}
        assert one.status == before


def test_what_is_done_says_since_when_until_it_is_taken_up_again() -> None:
    one = task("review")
    one.move_to("done", by=EVE, now=LATER)
    assert one.completed_at == LATER
    one.move_to("in_progress", by=EVE, now=LATER)
    assert one.completed_at is None


def test_a_new_task_is_told_of_and_so_is_whose_it_is() -> None:
    one = Task.create(
        task_id=new_id(),
        project_id=new_id(),
        title=" Paint ",
        description=None,
        priority="high",
        due_date=NOW.date(),
        estimated_minutes=30,
        parent_id=None,
        created_by=EVE,
        now=NOW,
    )
    one.assign(EVE, by=EVE, now=NOW)
    created, assigned = one.release_events()
    assert isinstance(created, TaskCreated)
    assert isinstance(assigned, TaskAssigned)
    assert (one.title, one.version, assigned.due_date) == ("Paint", 1, NOW.date())


def test_taking_a_task_from_somebody_is_an_update_and_nothing_new_is_nothing() -> None:
    one = task()
    one.assign(None, by=EVE, now=LATER)
    assert one.release_events() == []
    one.assign(EVE, by=EVE, now=LATER)
    one.release_events()
    one.assign(None, by=EVE, now=LATER)
    [event] = one.release_events()
    assert isinstance(event, TaskUpdated)
    assert event.fields == ["assignee_id"]
