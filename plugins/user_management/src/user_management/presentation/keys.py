"""The keys that verify access tokens, where every client of the platform looks for them."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from platform_core.http import Ask, Router
from user_management.application import GetKeySet

router = Router(prefix_api=False)


@router.get("/.well-known/jwks.json", public=True, summary="Read the keys that verify access tokens")
async def get_key_set(ask: Ask, response: Response) -> dict[str, Any]:
    # a new key is announced here before the old one stops signing, so clients may keep this for a while
    response.headers["Cache-Control"] = "public, max-age=300"
    return dict(await ask(GetKeySet()))
