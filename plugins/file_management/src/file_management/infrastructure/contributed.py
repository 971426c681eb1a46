"""What the installed modules contribute to the hooks of file management, as one scanner, processor and rule."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from file_management.hookspecs import (
    CLEAN,
    AccessRule,
    FileAccessRule,
    FileProcessor,
    FileScanner,
    Processor,
    Scanner,
    ScannerAway,
    Verdict,
)
from file_management.settings import FileManagementSettings
from platform_core.ports import Draft, Extensions

_log = logging.getLogger(__name__)

T = TypeVar("T")


class ContributedScanners:
    """Asks every scanner; only when each says an explicit "clean" is the content clean."""

    def __init__(self, extensions: Extensions, settings: FileManagementSettings) -> None:
        self._extensions, self._timeout_seconds = extensions, settings.scan_timeout_seconds

    async def scan(self, content: Draft) -> Verdict:
        away: list[str] = []
        for name, scanner in self._scanners().items():
            verdict = await self._ask(name, scanner, content)
            if verdict is None:
                away.append(name)
            elif verdict != CLEAN:
                return verdict
        if away:
            raise ScannerAway(f"no answer from {', '.join(away)}")
        return CLEAN

    async def check(self) -> str | None:
        """Tell which scanners there are; raises when one of them is away."""
        remarks = [await scanner.check() for scanner in self._scanners().values()]
        return "; ".join(remark for remark in remarks if remark) or None

    async def _ask(self, name: str, scanner: Scanner, content: Draft) -> Verdict | None:
        verdict: Any
        try:
            async with asyncio.timeout(self._timeout_seconds):
                verdict = await scanner.scan(content)
        except Exception as error:  # noqa: BLE001  # a scanner of another module may raise anything; none of it is "clean"
            _log.warning("the scanner %s gave no verdict: %s: %s", name, type(error).__name__, error)
            return None
        return verdict if isinstance(verdict, Verdict) else None

    def _scanners(self) -> Mapping[str, Scanner]:
        return _adapters(self._extensions, "file_scanners", FileScanner)


class ContributedProcessors:
    """Runs every processor that wants such content."""

    def __init__(self, extensions: Extensions) -> None:
        self._extensions = extensions

    def want(self, content_type: str) -> bool:
        return bool(self._wanting(content_type))

    async def process(self, content: Draft, content_type: str) -> Mapping[str, bytes]:
        made: dict[str, bytes] = {}
        for plugin, declared in self._wanting(content_type):
            processor: Processor = self._extensions.resolve(plugin, declared.adapter)
            made |= await processor.process(content)
        return made

    def _wanting(self, content_type: str) -> list[tuple[str, FileProcessor]]:
        return [
            (plugin, one)
            for plugin, one in _contributed(self._extensions, "file_processors", FileProcessor)
            if one.wants(content_type)
        ]


class ContributedAccessRules:
    """Lets somebody in when one of the rules does; a rule that fails lets nobody in."""

    def __init__(self, extensions: Extensions) -> None:
        self._extensions = extensions

    async def may_read(self, user_id: UUID, file_id: UUID) -> bool:
        rules: Mapping[str, AccessRule] = _adapters(self._extensions, "file_access_rules", FileAccessRule)
        for name, rule in rules.items():
            try:
                if await rule.may_read(user_id, file_id) is True:
                    return True
            except Exception:  # noqa: BLE001  # a rule of another module may raise anything; none of it opens a file
                _log.exception("the access rule %s failed", name)
        return False


def _adapters(extensions: Extensions, hook: str, wanted: type[Any]) -> dict[str, Any]:
    resolved = {
        f"{plugin}.{declared.name}": extensions.resolve(plugin, declared.adapter)
        for plugin, declared in _contributed(extensions, hook, wanted)
    }
    return {name: adapter for name, adapter in resolved.items() if adapter is not None}


def _contributed(extensions: Extensions, hook: str, wanted: type[T]) -> list[tuple[str, T]]:
    return [
        (plugin, one)
        for plugin, declared in extensions.collect(hook).items()
        for one in declared
        if isinstance(one, wanted)
    ]
