"""The page on a port of this machine, for `platform dev` and `platform docs`."""

from __future__ import annotations

import hashlib
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from platform_core._documentation.canvas import Handbook
from platform_core._documentation.page import page, policy

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"{policy()}; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Site:
    """
    Serves the page, and says at `/build` which one it is, so that an open one notices a newer one.

    Attributes:
        build: names the page by what it says: a restart that changes nothing reloads nothing.
    """

    def __init__(self, handbook: Handbook) -> None:
        self.build = hashlib.sha256(page(handbook).encode()).hexdigest()[:16]
        self._page = page(handbook, build=self.build)
        self.app = Starlette(routes=[Route("/", self._show), Route("/build", self._tell)])

    async def _show(self, _request: Request) -> Response:
        return HTMLResponse(self._page, headers=_HEADERS)

    async def _tell(self, _request: Request) -> Response:
        return PlainTextResponse(self.build, headers=_HEADERS)
