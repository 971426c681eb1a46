"""What is being graded, as every process of a run knows it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

PEOPLE: Final = "user_management"
"""The module by which people log in."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """
    A module that lies in an environment of its own.

    Attributes:
        package: the folder of its code.
        source: a copy of the project's folder; None for a wheel.
        requires: the modules that it cannot be without, theirs included, in no particular order.
        optional: installed modules that its metadata names as extras.
        beside: the modules that it is run with.
        hidden: installed modules that cannot even be imported, because it must not need them.
        scratch: a folder for whatever a check writes.
    """

    name: str
    version: str
    distribution: str
    package: Path
    source: Path | None
    requires: Sequence[str]
    optional: Sequence[str]
    beside: Sequence[str]
    hidden: Sequence[str]
    scratch: Path

    @property
    def modules(self) -> list[str]:
        """What is loaded."""
        return [*self.beside, self.name]

    def run_with(self, neighbours: Iterable[str]) -> Subject:
        """Return the same with other neighbours beside it, and every other one out of reach."""
        beside, known = set(neighbours), {*self.beside, *self.hidden}
        return replace(self, beside=sorted(beside), hidden=sorted(known - beside))

    def run_with_people(self) -> Subject:
        """Return the same with the module by which people log in, where that is installed."""
        return self.run_with([*self.beside, *({PEOPLE} & set(self.hidden))])

    def written(self) -> str:
        """Return it as text, for another process."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def read(cls, text: str) -> Subject:
        """Return what `written` wrote."""
        values = json.loads(text)
        for name in ("package", "source", "scratch"):
            values[name] = Path(values[name]) if values[name] is not None else None
        return cls(**values)
