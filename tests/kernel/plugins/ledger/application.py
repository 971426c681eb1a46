"""What can be done with accounts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Protocol
from uuid import UUID

from annotated_types import Len

from ledger.contracts import AccountOpened, AccountView, Deposited
from ledger.domain import Account, WrongPin
from platform_core.domain import Command, Query, Refused, new_id
from platform_core.ports import Clock, EventMetadata, Execute, Jobs, Outbox


class AccountRepository(Protocol):
    def add(self, aggregate: Account) -> None: ...
    async def get(self, identity: UUID) -> Account: ...


class Journal(Protocol):
    """Where handlers write down what they saw; it keeps duplicates, so that tests can find them."""

    def write(self, account_id: UUID, text: str) -> None: ...


@dataclass
class Faults:
    """What goes wrong next; tests set it, handlers obey."""

    failing_accounts: set[UUID] = field(default_factory=set)
    before_commit: Callable[[], Any] | None = None
    runs: list[str] = field(default_factory=list)

    def reset(self) -> None:
        self.failing_accounts.clear()
        self.before_commit = None
        self.runs.clear()

    async def strike(self, account_id: UUID) -> None:
        if account_id in self.failing_accounts:
            raise RuntimeError("the ledger is closed")
        if self.before_commit is not None:
            await self.before_commit()


faults = Faults()


@dataclass(frozen=True, kw_only=True)
class OpenAccount(Command[AccountView]):
    secret_fields: ClassVar[frozenset[str]] = frozenset({"pin"})

    owner: Annotated[str, Len(1, 100)]
    pin: Annotated[str, Len(4, 8)] = "0000"
    tags: frozenset[str] = frozenset()
    account_id: UUID = field(default_factory=new_id)


@dataclass(frozen=True, kw_only=True)
class Deposit(Command[AccountView]):
    account_id: UUID
    amount: int


@dataclass(frozen=True, kw_only=True)
class Withdraw(Command[AccountView]):
    account_id: UUID
    amount: int


@dataclass(frozen=True, kw_only=True)
class CheckPin(Command[None]):
    account_id: UUID
    pin: Annotated[str, Len(4, 8)]


@dataclass(frozen=True, kw_only=True)
class ChangePin(Command[None]):
    account_id: UUID
    pin: Annotated[str, Len(4, 8)]


@dataclass(frozen=True, kw_only=True)
class CloseAccount(Command[None]):
    account_id: UUID


@dataclass(frozen=True, kw_only=True)
class DepositAndFail(Command[None]):
    account_id: UUID


@dataclass(frozen=True, kw_only=True)
class RequestReport(Command[None]):
    account_id: UUID
    after_seconds: float = 0
    key: Annotated[str, Len(1, 100)] | None = None


@dataclass(frozen=True, kw_only=True)
class WriteReport(Command[None]):
    account_id: UUID


@dataclass(frozen=True, kw_only=True)
class CloseBooks(Command[None]):
    """Runs on a schedule."""


@dataclass(frozen=True, kw_only=True)
class Announce(Command[None]):
    """Stores an event without an aggregate."""

    account_id: UUID


@dataclass(frozen=True, kw_only=True)
class GetAccount(Query[AccountView]):
    account_id: UUID


def view(account: Account) -> AccountView:
    return AccountView(account.id, account.owner, account.balance, account.version)


async def open_account(command: OpenAccount, accounts: AccountRepository, clock: Clock) -> AccountView:
    account = Account.open(command.account_id, command.owner, command.pin, set(command.tags), clock.now())
    accounts.add(account)
    return view(account)


async def deposit(command: Deposit, accounts: AccountRepository, clock: Clock) -> AccountView:
    account = await accounts.get(command.account_id)
    faults.runs.append("deposit")
    await faults.strike(account.id)
    account.deposit(command.amount, clock.now())
    return view(account)


async def withdraw(command: Withdraw, accounts: AccountRepository, clock: Clock) -> AccountView:
    account = await accounts.get(command.account_id)
    account.withdraw(command.amount, clock.now())
    return view(account)


async def check_pin(command: CheckPin, accounts: AccountRepository, clock: Clock) -> Refused | None:
    account = await accounts.get(command.account_id)
    if account.pin != command.pin:
        account.note_failure(clock.now())
        return Refused(WrongPin())
    return None


async def change_pin(command: ChangePin, accounts: AccountRepository, clock: Clock) -> None:
    (await accounts.get(command.account_id)).change_pin(command.pin, clock.now())


async def close_account(command: CloseAccount, accounts: AccountRepository, clock: Clock) -> None:
    (await accounts.get(command.account_id)).delete(clock.now())


async def deposit_and_fail(
    command: DepositAndFail, accounts: AccountRepository, clock: Clock, jobs: Jobs
) -> None:
    account = await accounts.get(command.account_id)
    account.deposit(1, clock.now())
    jobs.later(WriteReport(account_id=account.id))
    raise WrongPin


async def request_report(command: RequestReport, jobs: Jobs) -> None:
    jobs.later(
        WriteReport(account_id=command.account_id), after_seconds=command.after_seconds, key=command.key
    )


async def write_report(command: WriteReport, journal: Journal) -> None:
    await faults.strike(command.account_id)
    journal.write(command.account_id, "report")


async def close_books(command: CloseBooks, journal: Journal) -> None:
    journal.write(new_id(), "books closed")


async def announce(command: Announce, outbox: Outbox) -> None:
    event = AccountOpened(account_id=command.account_id, owner="nobody")
    outbox.emit(event, aggregate_type="ledger.announcement", aggregate_id=command.account_id)


async def greet_owner(event: AccountOpened, journal: Journal) -> None:
    await faults.strike(event.account_id)
    journal.write(event.account_id, f"welcome {event.owner}")


async def note_deposit(event: Deposited, journal: Journal, metadata: EventMetadata) -> None:
    faults.runs.append(f"{event.amount}@{metadata.attempt}")
    await faults.strike(event.account_id)
    journal.write(event.account_id, f"deposit {event.amount}")
    await asyncio.sleep(0)


async def seed_house(execute: Execute) -> None:
    from ledger.domain import OwnerTaken

    with contextlib.suppress(OwnerTaken):
        await execute(OpenAccount(owner="the house"))
