"""What both peers answer, as FastAPI's response models."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel


class UserView(BaseModel):
    """An account as clients see it."""

    id: UUID
    email: str
    username: str
    full_name: str | None
    is_active: bool
    email_verified: bool
    roles: list[str]
    last_login_at: datetime | None
    created_at: datetime
    updated_at: datetime


class ProfileView(UserView):
    """One's own account."""

    locale: str | None
    timezone: str | None
    phone_number: str | None
    avatar_url: str | None


class UserPage(BaseModel):
    """One page of accounts."""

    items: list[UserView]
    next_cursor: UUID | None


class ProfileChanges(BaseModel):
    """What somebody may change of themselves."""

    full_name: str | None = None
