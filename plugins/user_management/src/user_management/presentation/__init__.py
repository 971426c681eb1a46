"""The routes of user management."""

from user_management.presentation.accounts import router as accounts
from user_management.presentation.keys import router as keys
from user_management.presentation.roles import router as roles
from user_management.presentation.sessions import router as sessions

ROUTERS = (accounts, sessions, roles, keys)

__all__ = ["ROUTERS"]
