"""`/docs`: Swagger UI from this very server, so that it works without the internet and under a strict policy."""

from __future__ import annotations

import html
import secrets
from importlib.resources import files
from typing import Final

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

__all__ = ["docs_router"]

_ASSETS: Final = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
_START: Final = """
window.addEventListener("load", () => SwaggerUIBundle({
  url: "openapi.json", dom_id: "#ui", deepLinking: true, filter: true, tryItOutEnabled: true,
  displayRequestDuration: true, defaultModelsExpandDepth: 0, docExpansion: "none", validatorUrl: null,
}));
"""
_STYLE: Final = "body{margin:0}"


def docs_router(title: str) -> APIRouter:
    """Return the routes of the page and of its two files."""
    router = APIRouter()

    @router.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return _page(title)

    @router.get("/docs/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in _ASSETS:
            return HTMLResponse(status_code=404)
        content = (files("fastapi_offline") / "static" / name).read_bytes()
        return Response(content, media_type=_ASSETS[name], headers={"Cache-Control": "public, max-age=86400"})

    return router


def _page(title: str) -> HTMLResponse:
    nonce = secrets.token_urlsafe(16)
    content = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)} API</title>"
        f'<link rel="stylesheet" href="docs/swagger-ui.css"><style nonce="{nonce}">{_STYLE}</style></head>'
        '<body><div id="ui"></div><script src="docs/swagger-ui-bundle.js"></script>'
        f'<script nonce="{nonce}">{_START}</script></body></html>'
    )
    # Swagger UI sets style attributes and draws its icons from data: addresses; scripts are its own and the one above
    policy = (
        f"default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(content, headers={"Content-Security-Policy": policy})
