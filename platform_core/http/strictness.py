"""
JSON is taken at its word: `"5"` is a text and no number, `"yes"` no boolean, 1700000000 no time.

The description says `integer` and `boolean`, and means it; a text that quietly becomes a number hides a client's
mistake until the day it cannot. Addresses and forms have only texts, so parameters and form fields stay as FastAPI
reads them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
from fastapi import params
from fastapi._compat import ModelField
from fastapi.dependencies.models import Dependant
from pydantic import ValidationError

__all__ = ["taken_at_its_word"]


class _JsonField(ModelField):
    """
    A body, or a member of it, that is read as JSON and not as Python.

    Pydantic's strictness knows what JSON has no type for, identities, times and decimals, only when it reads JSON
    itself. It gets what `LimitedRequest.json` has read and checked, written again: two parsers of the same bytes might
    disagree about what they say.
    """

    def __post_init__(self) -> None:
        """Make no reader of its own: that of the field it stands for is given to it, and took a millisecond to make."""

    def validate(
        self, value: Any, values: dict[str, Any] | None = None, *, loc: tuple[int | str, ...] = ()
    ) -> tuple[Any, list[dict[str, Any]]]:
        try:
            return self._type_adapter.validate_json(orjson.dumps(value), strict=True), []
        except ValidationError as refused:
            return None, [
                {**error, "loc": (*loc, *error["loc"])} for error in refused.errors(include_url=False)
            ]


def taken_at_its_word(declared: Dependant) -> Dependant:
    """Return a copy that reads JSON strictly wherever it reads a body, its dependencies included."""
    return replace(
        declared,
        body_params=[_strict(field) for field in declared.body_params],
        dependencies=[taken_at_its_word(dependency) for dependency in declared.dependencies],
    )


def _strict(field: ModelField) -> ModelField:
    if isinstance(field.field_info, params.Form):
        return field
    strict = _JsonField(field.field_info, field.name, field.mode, field.config)
    strict._type_adapter = field._type_adapter
    return strict
