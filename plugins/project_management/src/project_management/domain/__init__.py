"""Projects, tasks and what belongs to them, with their rules; standard library only."""

from project_management.domain.bookings import Expense, Milestone, TimeEntry
from project_management.domain.comments import Comment
from project_management.domain.errors import (
    AlreadyMember,
    AssigneeNotInProject,
    BorrowedFile,
    BudgetCurrencyFixed,
    CommentNotFound,
    CurrencyMismatch,
    FileNotReadable,
    IllegalTransition,
    LastOwner,
    MemberNotFound,
    NotYourComment,
    OwnersOnly,
    ParentCommentNotFound,
    ParentTaskNotFound,
    ProjectNotFound,
    RoleTooLow,
    TaskInsideItself,
    TaskNotFound,
    UnknownUser,
)
from project_management.domain.mentions import mentioned
from project_management.domain.projects import Project
from project_management.domain.roles import OWNER, Membership, Right, heir
from project_management.domain.specs import assignable_in, holding, visible_to
from project_management.domain.tasks import Task
from project_management.domain.workflow import CANCELLED, DONE

__all__ = [
    "CANCELLED",
    "DONE",
    "OWNER",
    "AlreadyMember",
    "AssigneeNotInProject",
    "BorrowedFile",
    "BudgetCurrencyFixed",
    "Comment",
    "CommentNotFound",
    "CurrencyMismatch",
    "Expense",
    "FileNotReadable",
    "IllegalTransition",
    "LastOwner",
    "MemberNotFound",
    "Membership",
    "Milestone",
    "NotYourComment",
    "OwnersOnly",
    "ParentCommentNotFound",
    "ParentTaskNotFound",
    "Project",
    "ProjectNotFound",
    "Right",
    "RoleTooLow",
    "Task",
    "TaskInsideItself",
    "TaskNotFound",
    "TimeEntry",
    "UnknownUser",
    "assignable_in",
    "heir",
    "holding",
    "mentioned",
    "visible_to",
]
