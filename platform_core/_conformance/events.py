"""Events that could have happened: invented from their classes, about things that are there."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import types
import typing
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeVar
from uuid import UUID

from platform_core.domain import Event, new_id

E = TypeVar("E", bound=Event)

_NOW: Final = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)

_PLAIN: Final[Mapping[type, Any]] = {
    bool: True,
    int: 1,
    float: 1.0,
    Decimal: Decimal("1.00"),
    datetime.datetime: _NOW,
    datetime.date: _NOW.date(),
    datetime.timedelta: datetime.timedelta(hours=1),
    bytes: b"",
}
_TEXTS: Final = {
    "email": "somebody@example.com",
    "url": "https://example.com/",
    "locale": "en",
    "currency": "EUR",
}
"""Part of a field's name → a text that such a field could hold."""


class Unimaginable(Exception):
    """A field has a type that nobody here knows values of."""


def imagined(kind: type[E], known: Mapping[str, str]) -> E:
    """
    Return an event.

    Args:
        known: name of a field → an identity of something that is there.

    Raises:
        Unimaginable: one of its fields cannot be invented.
    """
    hints = typing.get_type_hints(kind)
    values = {
        field.name: _value(field.name, hints[field.name], known)
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    return kind(**values)


def _value(name: str, wanted: Any, known: Mapping[str, str]) -> Any:
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is typing.Annotated:
        return _value(name, arguments[0], known)
    if origin in (typing.Union, types.UnionType):
        return _value(name, next(kind for kind in arguments if kind is not type(None)), known)
    if origin is typing.Literal:
        return arguments[0]
    if origin is not None:
        return _empty(name, origin)
    if wanted is UUID:
        return UUID(known[name]) if name in known else new_id()
    if wanted is str:
        return next((text for part, text in _TEXTS.items() if part in name), "text")
    return _object(name, wanted, known)


def _empty(name: str, origin: Any) -> Any:
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {}
    if isinstance(origin, type) and issubclass(origin, Sequence | set | frozenset):
        return () if issubclass(origin, tuple) else []
    raise Unimaginable(f"{name} is a {origin}")


def _object(name: str, wanted: Any, known: Mapping[str, str]) -> Any:
    if wanted in _PLAIN:
        return _PLAIN[wanted]
    if isinstance(wanted, type) and issubclass(wanted, enum.Enum):
        return next(iter(wanted))
    if isinstance(wanted, type) and dataclasses.is_dataclass(wanted):
        hints = typing.get_type_hints(wanted)
        fields = dataclasses.fields(wanted)
        return wanted(**{field.name: _value(field.name, hints[field.name], known) for field in fields})
    raise Unimaginable(f"{name} is a {wanted}")
