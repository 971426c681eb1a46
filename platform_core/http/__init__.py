"""
HTTP for plugins: routes, and what they may ask for. The kernel does everything else of the contract.
"""

from platform_core.http.content import Content, download
from platform_core.http.events import EVENT_STREAM, ServerSentEvent, event_stream
from platform_core.http.incoming import form_body
from platform_core.http.pages import page
from platform_core.http.problems import UnsupportedMediaType, respond
from platform_core.http.routing import Ask, Caller, Execute, Follow, Incoming, PageParams, Router

__all__ = [
    "EVENT_STREAM",
    "Ask",
    "Caller",
    "Content",
    "Execute",
    "Follow",
    "Incoming",
    "PageParams",
    "Router",
    "ServerSentEvent",
    "UnsupportedMediaType",
    "download",
    "event_stream",
    "form_body",
    "page",
    "respond",
]
