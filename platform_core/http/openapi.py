"""The description of the whole API, and a page that shows it without the internet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from platform_core.http.binding import BoundRoute
from platform_core.http.pages import page

if TYPE_CHECKING:
    from platform_core.http.assembly import ModuleRoutes


def openapi_document(
    title: str, version: str, modules: Sequence[ModuleRoutes], routes: Sequence[BoundRoute], prefix: str
) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    whole = APIRouter()
    for offered in modules:
        for router in offered.routers:
            whole.include_router(
                router, prefix=prefix if getattr(router, "prefix_api", True) else "", tags=[offered.module]
            )
    return get_openapi(title=title, version=version, routes=whole.routes)


def docs_page(title: str) -> Response:
    """Return the page."""
    return page(title, "<h1>API</h1>")
