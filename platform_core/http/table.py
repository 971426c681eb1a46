"""Finds the route of a path, in a time that does not grow with the number of modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, compile_path
from starlette.types import Receive, Scope, Send

from platform_core.http.binding import BoundRoute
from platform_core.http.exchange import exchange_of
from platform_core.http.gate import Gatekeeper
from platform_core.http.problems import ModuleDisabled, ModuleUnavailable

__all__ = ["RouteTable"]

_CHOSEN: Final = "platform.route"
_UNAVAILABLE: Final = 503


@dataclass(slots=True)
class _Node:
    """One position in a path: fixed words first, then whatever a parameter takes."""

    words: dict[str, _Node] = field(default_factory=dict)
    parameter: _Node | None = None
    routes: dict[str, tuple[BoundRoute, tuple[str, ...]]] = field(default_factory=dict)


class RouteTable(BaseRoute):
    """
    All routes of all modules, as one route for Starlette.

    Fixed words win over parameters (`/users/me` over `/users/{user_id}`), whichever was declared first.

    Args:
        routes: bound routes; a second one for a method and path is never reached (assembly refuses it before).
        prefix: below it, every answer is an API answer, "not found" too.
        unavailable: path prefix → why, of modules that could not be started; it may still grow.
        off: module → 404 or 503, of modules that are switched off at the moment.
    """

    def __init__(
        self,
        routes: Sequence[BoundRoute],
        *,
        prefix: str,
        unavailable: Mapping[str, str],
        gatekeeper: Gatekeeper,
        off: Mapping[str, int],
    ) -> None:
        self.routes, self._off = routes, off
        self._root = _Node()
        self._patterns: list[tuple[Any, Mapping[str, Any], BoundRoute]] = []
        self._prefix, self._unavailable, self._gatekeeper = prefix, unavailable, gatekeeper
        for route in routes:
            self._add(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Claim every path of the API, and those outside of it that a module declared."""
        if scope["type"] != "http":
            return Match.NONE, {}
        path = _path(scope)
        found, allowed = self._find(path, scope["method"])
        if self._unavailable and self._down(path):
            return Match.FULL, {_CHOSEN: None, "path_params": {}}
        if found is not None:
            route, parameters = found
            return Match.FULL, {_CHOSEN: route, "path_params": parameters, "endpoint": route.endpoint}
        if allowed or path.startswith(f"{self._prefix}/") or path == self._prefix:
            return Match.FULL, {_CHOSEN: allowed, "path_params": {}}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the route that was found, or say why there is none."""
        chosen = scope[_CHOSEN]
        is_served = isinstance(chosen, BoundRoute) and not (self._off and chosen.module in self._off)
        if is_served and not (self._unavailable and self._down(_path(scope))):
            if scope["method"] == "HEAD":
                exchange_of(scope).is_head = True
                # a copy: the server goes by its own, and expects the bytes of what it takes for a GET
                scope = {**scope, "method": "GET"}
            await chosen.app(scope, receive, send)
            return
        await self._gatekeeper.charge_stray(exchange_of(scope))
        if self._down(_path(scope)):
            raise ModuleUnavailable(retry_after_seconds=30)
        if isinstance(chosen, BoundRoute) and self._off.get(chosen.module) == _UNAVAILABLE:
            raise ModuleDisabled(retry_after_seconds=30)
        if chosen and not isinstance(chosen, BoundRoute):
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(chosen))})
        raise HTTPException(404)

    def _find(self, path: str, method: str) -> tuple[tuple[BoundRoute, dict[str, str]] | None, set[str]]:
        allowed: set[str] = set()
        wanted = "GET" if method == "HEAD" else method
        for node, values in _walk(self._root, path.split("/"), 1, ()):
            known = node.routes.get(wanted)
            if known is not None:
                route, names = known
                return (route, dict(zip(names, values, strict=True))), allowed
            allowed |= node.routes.keys()
        for pattern, convertors, route in self._patterns:
            match = pattern.match(path)
            if match and wanted in route.methods:
                return (route, {k: convertors[k].convert(v) for k, v in match.groupdict().items()}), allowed
            if match:
                allowed |= route.methods
        if "GET" in allowed:
            allowed.add("HEAD")
        return None, allowed

    def _add(self, route: BoundRoute) -> None:
        node, names = self._root, []
        for part in route.template.split("/")[1:]:
            if "{" not in part:
                node = node.words.setdefault(part, _Node())
            elif part.startswith("{") and part.endswith("}") and ":" not in part and part.count("{") == 1:
                names.append(part[1:-1])
                if node.parameter is None:
                    node.parameter = _Node()
                node = node.parameter
            else:  # a converter, or a parameter inside a word: rare, so looked for one by one
                pattern, _, convertors = compile_path(route.template)
                self._patterns.append((pattern, convertors, route))
                return
        for method in route.methods:
            node.routes.setdefault(method, (route, tuple(names)))

    def _down(self, path: str) -> bool:
        return any(path == prefix or path.startswith(f"{prefix}/") for prefix in self._unavailable)


def _walk(
    node: _Node, parts: Sequence[str], index: int, values: tuple[str, ...]
) -> Iterator[tuple[_Node, tuple[str, ...]]]:
    if index == len(parts):
        yield node, values
        return
    part = parts[index]
    word = node.words.get(part)
    if word is not None:
        yield from _walk(word, parts, index + 1, values)
    if node.parameter is not None and part:
        yield from _walk(node.parameter, parts, index + 1, (*values, part))


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(root) else path
