"""What is true of accounts, roles, passwords and logins without a computer; standard library only."""

from user_management.domain.errors import (
    BuiltInRole,
    EmailTaken,
    InvalidCredentials,
    InvalidRefreshToken,
    InvalidToken,
    LastAdministrator,
    PermissionsNotHeld,
    RefreshSuperseded,
    RoleNameTaken,
    RoleNotFound,
    RolesMissing,
    TooManyFailedLogins,
    UsernameTaken,
    UserNotFound,
    WrongPassword,
)
from user_management.domain.logins import FailureWindow, Lifetime, RefreshState, Verdict
from user_management.domain.passwords import PasswordPolicy
from user_management.domain.rights import check_reach, permissions_of
from user_management.domain.roles import ADMIN, ADMIN_ID, MEMBER, MEMBER_ID, Role
from user_management.domain.users import User, check_username

__all__ = [
    "ADMIN",
    "ADMIN_ID",
    "MEMBER",
    "MEMBER_ID",
    "BuiltInRole",
    "EmailTaken",
    "FailureWindow",
    "InvalidCredentials",
    "InvalidRefreshToken",
    "InvalidToken",
    "LastAdministrator",
    "Lifetime",
    "PasswordPolicy",
    "PermissionsNotHeld",
    "RefreshState",
    "RefreshSuperseded",
    "Role",
    "RoleNameTaken",
    "RoleNotFound",
    "RolesMissing",
    "TooManyFailedLogins",
    "User",
    "UserNotFound",
    "UsernameTaken",
    "Verdict",
    "WrongPassword",
    "check_reach",
    "check_username",
    "permissions_of",
]
