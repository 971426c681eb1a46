"""What a route reads beside commands: shapes that take no unknown key."""

from dataclasses import dataclass
from typing import Annotated

import pytest
from annotated_types import Len
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from platform_core.domain import body


@body
class Changes(TypedDict, total=False):
    title: Annotated[str, Len(1, 5)]
    note: str | None


@body
@dataclass(frozen=True)
class Whole:
    title: str


@pytest.mark.parametrize("given", [{}, {"title": "a"}, {"note": None}, {"title": "a", "note": "b"}])
def test_what_is_absent_stays_absent_and_null_stays_null(given: dict[str, object]) -> None:
    assert TypeAdapter(Changes).validate_python(given) == given


@pytest.mark.parametrize("shape", [Changes, Whole])
def test_an_unknown_key_is_refused_and_the_description_says_so(shape: type) -> None:
    adapter = TypeAdapter(shape)
    with pytest.raises(ValidationError, match="is_admin"):
        adapter.validate_python({"title": "a", "is_admin": True})
    assert adapter.json_schema()["additionalProperties"] is False
