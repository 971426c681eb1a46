"""Every "no" of this module, each with its default message."""

from __future__ import annotations

from platform_core.errors import DomainError, FieldError, Forbidden, InvalidInput, Kind, NotFound


class ProjectNotFound(NotFound):
    """There is no such project, or you are not in it."""


class TaskNotFound(NotFound):
    """There is no such task, or you are not in its project."""


class CommentNotFound(NotFound):
    """There is no such comment, or you are not in its project."""


class MemberNotFound(NotFound):
    """They are not in this project."""


class FileNotReadable(NotFound):
    """There is no such file, or you may not read it."""


class RoleTooLow(Forbidden):
    """Your role in this project does not allow it."""


class OwnersOnly(Forbidden):
    """Only owners make somebody an owner, or take it back."""


class NotYourComment(Forbidden):
    """Only who wrote a comment changes it."""


class BorrowedFile(Forbidden):
    """You may read this file only because it belongs to another project's task; its owner can attach it here."""


class AlreadyMember(DomainError, kind=Kind.CONFLICT):
    """They are in this project already."""


class LastOwner(DomainError, kind=Kind.CONFLICT):
    """A project has an owner; make somebody else one first."""


class IllegalTransition(DomainError, kind=Kind.CONFLICT):
    """A task does not go from its present status to that one."""


class TaskInsideItself(DomainError, kind=Kind.CONFLICT):
    """A task cannot be a part of itself, or of one of its own parts."""


class _InvalidField(InvalidInput):
    """One field names something that does not fit; subclasses say which."""

    field = ""
    code = "invalid"

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.fields = (FieldError(f"/body/{self.field}", self.message, self.code),)


class UnknownUser(_InvalidField):
    """There is nobody with this id who could take part."""

    field, code = "user_id", "unknown_user"


class AssigneeNotInProject(_InvalidField):
    """Only somebody in the project can be assigned a task, and only if their account is active."""

    field, code = "assignee_id", "not_in_project"


class ParentTaskNotFound(_InvalidField):
    """There is no such task in this project to be a part of."""

    field, code = "parent_id", "unknown_task"


class ParentCommentNotFound(_InvalidField):
    """There is no such comment on this task to answer."""

    field, code = "parent_id", "unknown_comment"


class CurrencyMismatch(_InvalidField):
    """A project counts in one currency: expenses are in that of its budget, and it stays once money was spent."""

    field, code = "amount/currency", "other_currency"


class BudgetCurrencyFixed(_InvalidField):
    """Money was spent in another currency already; the budget has to stay in that one."""

    field, code = "budget/currency", "other_currency"
