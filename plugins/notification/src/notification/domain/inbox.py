"""What lies in somebody's inbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

LONGEST_TITLE: Final = 200
LONGEST_BODY: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """
    One entry of one inbox, in words: it stays as it was when the thing happened.

    Attributes:
        event_id: what brought it about; with kind and user it is unique.
        data: what the event's module says about it; a client finds the thing by it.
    """

    id: UUID
    event_id: UUID
    kind: str
    user_id: UUID
    title: str
    body: str
    data: dict[str, Any]
    created_at: datetime
