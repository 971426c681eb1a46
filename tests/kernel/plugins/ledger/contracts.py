"""What others may know of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol
from uuid import UUID

from platform_core.domain import Event


@dataclass(frozen=True)
class AccountView:
    id: UUID
    owner: str
    balance: int
    version: int


@dataclass(frozen=True, kw_only=True)
class AccountOpened(Event):
    wire_name: ClassVar[str] = "ledger.account_opened"

    account_id: UUID
    owner: str


def _amount_was_called_sum(payload: dict[str, Any]) -> dict[str, Any]:
    payload["amount"] = payload.pop("sum")
    return payload


@dataclass(frozen=True, kw_only=True)
class Deposited(Event):
    wire_name: ClassVar[str] = "ledger.deposited"
    wire_version: ClassVar[int] = 2
    upcasters: ClassVar[Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {
        1: _amount_was_called_sum
    }

    account_id: UUID
    amount: int


class AccountDirectory(Protocol):
    async def balance(self, account_id: UUID) -> int: ...
