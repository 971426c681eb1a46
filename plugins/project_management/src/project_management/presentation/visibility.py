"""What is asked before anything is said about a body: who may not, learns nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from project_management.application.queries import MayInProject, MayWithTask
from project_management.domain import Right


def in_project(right: Right) -> Callable[[Mapping[str, Any]], MayInProject]:
    """Ask for a right in the project of the path."""
    return lambda path: MayInProject(project_id=path["project_id"], right=right)


def with_task(right: Right) -> Callable[[Mapping[str, Any]], MayWithTask]:
    """Ask for a right in the project of the task of the path."""
    return lambda path: MayWithTask(task_id=path["task_id"], right=right)
