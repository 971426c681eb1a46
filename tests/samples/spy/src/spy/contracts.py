from dataclasses import dataclass
from typing import ClassVar

from platform_core.domain import Event


@dataclass(frozen=True, kw_only=True)
class SomebodySeen(Event):
    wire_name: ClassVar[str] = "spy.somebody_seen"

    email: str
