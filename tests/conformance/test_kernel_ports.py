"""The kernel's implementations of its own ports."""

import contextlib
from collections.abc import AsyncIterator
from datetime import datetime

from ledger.application import OpenAccount, RequestReport, WriteReport
from ledger.contracts import AccountOpened
from ledger.domain import Account
from ledger.infrastructure import SqlAccountRepository
from pydantic import SecretStr

from platform_core._uow import SqlUnitOfWork
from platform_core.clock import SystemClock
from platform_core.context import Context
from platform_core.domain import new_id
from platform_core.keys import DerivedKeys
from platform_core.ports import Clock, Jobs, Keys, Outbox
from platform_core.testing import ManualClock, RunningPlatform
from platform_core.testing.conformance import (
    ClockConformance,
    HandlerConformance,
    KeysConformance,
    OutboxConformance,
    RepositoryConformance,
)


class TestSystemClock(ClockConformance):
    def clock(self) -> Clock:
        return SystemClock()


class TestManualClock(ClockConformance):
    def clock(self) -> Clock:
        return ManualClock()


class TestDerivedKeys(KeysConformance):
    def keys(self, secret: str) -> Keys:
        return DerivedKeys(SecretStr(secret))


class TestSqlUnitOfWork(OutboxConformance):
    event = AccountOpened(account_id=new_id(), owner="Ada")
    handler = "ledger.greet_owner"
    task = WriteReport(account_id=new_id())

    @contextlib.asynccontextmanager
    async def unit_of_work(self, p: RunningPlatform) -> AsyncIterator[tuple[Outbox, Jobs]]:
        uow = SqlUnitOfWork(p.kernel.pools.commands("ledger"), p.clock, Context())
        try:
            yield uow, uow
            await uow.commit()
        finally:
            await uow.close()


class TestSqlUnitOfWorkInATransaction(TestSqlUnitOfWork):
    @contextlib.asynccontextmanager
    async def unit_of_work(self, p: RunningPlatform) -> AsyncIterator[tuple[Outbox, Jobs]]:
        uow = SqlUnitOfWork(p.kernel.pools.commands("ledger"), p.clock, Context())
        try:
            await uow.begin()
            yield uow, uow
            await uow.commit()
        finally:
            await uow.close()


class TestRepository(RepositoryConformance[Account]):
    module = "ledger"
    repository = SqlAccountRepository

    def make(self, number: int, now: datetime) -> Account:
        account = Account.open(new_id(), f"owner {number}", "1234", {"a", f"b{number}"}, now)
        account.balance, account.failures = number, 2
        account.note, account.terms = "näher", {"rates": [1, 2.5, None], "nested": {"deep": True}}
        return account

    def change(self, aggregate: Account, now: datetime) -> None:
        aggregate.tags = {"c"}
        aggregate.terms["rates"].append(7)
        aggregate.note = None
        aggregate.deposit(1, now)


class TestEventHandler(HandlerConformance):
    handler = "ledger.greet_owner"

    async def cause(self, p: RunningPlatform) -> None:
        await p.execute(OpenAccount(owner="Ada"))

    async def effects_count(self, p: RunningPlatform) -> int:
        return len(await p.sql("SELECT FROM ledger.entries"))


class TestTask(TestEventHandler):
    handler = "ledger.write_report"

    async def cause(self, p: RunningPlatform) -> None:
        await p.execute(RequestReport(account_id=new_id()))
