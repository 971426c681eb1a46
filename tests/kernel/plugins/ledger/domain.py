"""Accounts and their rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.contracts import AccountOpened, Deposited
from platform_core.domain import Aggregate
from platform_core.errors import DomainError, Kind


class OwnerTaken(DomainError, kind=Kind.CONFLICT):
    """There is an account of that owner already."""


class InsufficientFunds(DomainError, kind=Kind.CONFLICT):
    """There is not enough on the account."""


class WrongPin(DomainError, kind=Kind.FORBIDDEN):
    """That is not the PIN."""


@dataclass(eq=False, kw_only=True)
class Account(Aggregate):
    owner: str
    pin: str
    balance: int = 0
    failures: int = 0
    note: str | None = None
    terms: dict[str, Any] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)

    @classmethod
    def open(cls, account_id: UUID, owner: str, pin: str, tags: set[str], now: datetime) -> Account:
        account = cls(id=account_id, owner=owner, pin=pin, tags=tags, created_at=now, updated_at=now)
        account.record(AccountOpened(account_id=account_id, owner=owner))
        return account

    def deposit(self, amount: int, now: datetime) -> None:
        self.balance += amount
        self.touch(now)
        self.record(Deposited(account_id=self.id, amount=amount))

    def withdraw(self, amount: int, now: datetime) -> None:
        if amount > self.balance:
            raise InsufficientFunds
        self.balance -= amount
        self.touch(now)

    def note_failure(self, now: datetime) -> None:
        self.failures += 1
        self.touch(now)

    def change_pin(self, pin: str, now: datetime) -> None:
        self.pin = pin
        self.touch(now)
