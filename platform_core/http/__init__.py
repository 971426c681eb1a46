"""
HTTP for plugins: routes, and what they may ask for. The kernel does everything else of the contract.
"""

from platform_core.http.content import Content, download
from platform_core.http.incoming import form_body
from platform_core.http.routing import Ask, Caller, Execute, Incoming, PageParams, Router

__all__ = [
    "Ask",
    "Caller",
    "Content",
    "Execute",
    "Incoming",
    "PageParams",
    "Router",
    "download",
    "form_body",
]
