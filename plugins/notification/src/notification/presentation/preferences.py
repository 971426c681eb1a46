"""What the caller wants to hear of."""

from __future__ import annotations

from notification.application.preferences import GetPreferences, SetPreferences
from notification.contracts import PreferencesView
from platform_core.errors import InvalidInput
from platform_core.http import Ask, Execute, Router

router = Router()


@router.get("/notifications/preferences", summary="What you want to hear of")
async def get_preferences(ask: Ask) -> PreferencesView:
    return await ask(GetPreferences())


@router.put("/notifications/preferences", raises=(InvalidInput,), summary="Say what you want to hear of")
async def set_preferences(command: SetPreferences, execute: Execute) -> PreferencesView:
    return await execute(command)
