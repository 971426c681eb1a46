"""Whether the module says in words what it is for, to deployers, clients and neighbours."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from typing import Any

from platform_core._conformance.grades import Finding
from platform_core._conformance.ground import Ground
from platform_core._conformance.routes import routes
from platform_core._conformance.subject import Subject
from platform_core.domain import Event
from platform_core.testing import RunningPlatform

_WORDS_COUNT = 20
"""Fewer than these are a title, and no README."""


def check(subject: Subject, ground: Ground) -> Iterator[Finding]:
    """Yield what nobody has described."""
    readme = _readme(subject)
    if len(readme.split()) < _WORDS_COUNT:
        hint = 'write one, and name it in pyproject.toml: readme = "README.md"'
        yield Finding("README", "there is none in the package's metadata, or it says nothing", hint)
    yield from asyncio.run(_undescribed(subject, ground, readme))


def _readme(subject: Subject) -> str:
    """Return the description in the metadata, which is what a package index shows."""
    text = distribution(subject.distribution).read_text("METADATA") or ""
    return text.partition("\n\n")[2]


async def _undescribed(subject: Subject, ground: Ground, readme: str) -> list[Finding]:
    async with ground.platform() as p:
        return [
            *_routes(p, subject),
            *_permissions(p, subject, readme),
            *_events(subject, readme),
            *_settings(p, subject),
        ]


def _routes(p: RunningPlatform, subject: Subject) -> Iterator[Finding]:
    for route in routes(p, subject.name):
        if not (route.summary or route.description):
            hint = 'summary="…", or a docstring: it is the operation\'s title in /docs'
            yield Finding(str(route), "nothing says what it does", hint)


def _permissions(p: RunningPlatform, subject: Subject, readme: str) -> Iterator[Finding]:
    for permission in p.kernel.declared[subject.name].permissions:
        if not permission.description.strip():
            yield Finding(permission.name, "the permission has no description", "say what it lets people do")
        if permission.name not in readme:
            yield Finding(permission.name, "the README does not name the permission", "say who needs it")


def _events(subject: Subject, readme: str) -> Iterator[Finding]:
    for event in _published(subject.name):
        if not _own_words(event):
            hint = "a docstring: one sentence that begins with who did what"
            yield Finding(f"{event.__module__}.{event.__qualname__}", "the event has no description", hint)
        if event.wire_name not in readme:
            yield Finding(
                event.wire_name, "the README does not name the event", "neighbours look there first"
            )


def _published(module: str) -> list[type[Event]]:
    """Return the events in its contracts; those of its domain are nobody else's business."""
    if importlib.util.find_spec(f"{module}.contracts") is not None:
        importlib.import_module(f"{module}.contracts")  # nobody else need have done so
    found: list[type[Event]] = []
    todo = list(Event.__subclasses__())
    while todo:
        event = todo.pop()
        todo += event.__subclasses__()
        is_published = event.__module__.split(".")[:2] == [module, "contracts"]
        # dataclasses with slots leave the class behind that they were made of
        if is_published and getattr(sys.modules.get(event.__module__), event.__name__, None) is event:
            found.append(event)
    return sorted(found, key=lambda event: event.wire_name)


def _own_words(event: type[Any]) -> bool:
    """Whether a class has a docstring; a dataclass without one gets its signature for one."""
    written = event.__dict__.get("__doc__") or ""
    return bool(written.strip()) and not written.startswith(f"{event.__name__}(")


def _settings(p: RunningPlatform, subject: Subject) -> Iterator[Finding]:
    settings = p.kernel.declared[subject.name].settings
    for name, field in type(settings).model_fields.items() if settings is not None else ():
        if not field.description:
            hint = "Field(…, description=…): `platform config show` and the reference print it"
            yield Finding(f"{type(settings).__name__}.{name}", "the setting has no description", hint)
