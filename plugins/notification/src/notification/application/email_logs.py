"""What became of the mails."""

from __future__ import annotations

from dataclasses import dataclass

from notification.contracts import EmailLogView
from platform_core.domain import Page, PageRequest, Query


@dataclass(frozen=True, kw_only=True)
class ListEmailLogs(Query[Page[EmailLogView]]):
    """Mails, newest first."""

    page: PageRequest
