"""The routes of user management."""

from user_management.presentation import accounts, keys, pages, roles, sessions

ROUTERS = (accounts.router, sessions.router, roles.router, keys.router, pages.router)

__all__ = ["ROUTERS"]
