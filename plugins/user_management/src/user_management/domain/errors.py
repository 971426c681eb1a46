"""Every "no" of this module, each with its default message."""

from __future__ import annotations

from platform_core.errors import (
    DomainError,
    FieldError,
    Forbidden,
    InvalidInput,
    Kind,
    NotFound,
    RateLimited,
    Unauthenticated,
)


class EmailTaken(DomainError, kind=Kind.CONFLICT):
    """There is an account with this e-mail address already."""


class UsernameTaken(DomainError, kind=Kind.CONFLICT):
    """There is an account with this username already."""


class UserNotFound(NotFound):
    """There is no such account, or you may not know of it."""


class RoleNotFound(NotFound):
    """There is no such role."""


class RoleNameTaken(DomainError, kind=Kind.CONFLICT):
    """There is a role with this name already."""


class BuiltInRole(DomainError, kind=Kind.CONFLICT):
    """The platform itself relies on this role as it is."""


class RolesMissing(DomainError, kind=Kind.UNAVAILABLE):
    """The platform's roles are not there yet; the essential seeds make them."""


class LastAdministrator(DomainError, kind=Kind.CONFLICT):
    """The last administrator who can log in has to stay; make another one first."""


class PermissionsNotHeld(Forbidden):
    """Permissions that you do not hold are not yours to give, take or overrule; ask somebody who holds them."""


class InvalidCredentials(Unauthenticated):
    """The e-mail address or the password is wrong."""


class InvalidRefreshToken(Unauthenticated):
    """The refresh token does not work; log in again."""


class RefreshSuperseded(DomainError, kind=Kind.CONFLICT):
    """The refresh token was exchanged a moment ago; use the newer one."""


class TooManyFailedLogins(RateLimited):
    """Too many failed logins; wait, or reset the password."""

    def __init__(self, message: str = "", *, retry_after_seconds: int = 60) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)


class InvalidToken(InvalidInput):
    """The link does not work any more: it was used, has ended, or is incomplete."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.fields = (FieldError("/body/token", self.message, "invalid_token"),)


class WrongPassword(InvalidInput):
    """The current password is wrong."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.fields = (FieldError("/body/current_password", self.message, "wrong_password"),)
