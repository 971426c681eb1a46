"""
HTTP for plugins: routes, and what they may ask for. The kernel does everything else of the contract.
"""

from platform_core.http.routing import Ask, Caller, Execute, PageParams, Router

__all__ = ["Ask", "Caller", "Execute", "PageParams", "Router"]
