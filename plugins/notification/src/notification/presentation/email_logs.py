"""Which mails went out."""

from __future__ import annotations

from notification.application.email_logs import ListEmailLogs
from notification.contracts import EmailLogView
from platform_core.domain import Page
from platform_core.http import Ask, PageParams, Router

router = Router()


@router.get("/notifications/email-logs", permission="notifications:read", summary="See which mails went out")
async def list_email_logs(page: PageParams, ask: Ask) -> Page[EmailLogView]:
    return await ask(ListEmailLogs(page=page))
