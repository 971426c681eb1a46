"""The ledger's hooks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from ledger import application, contracts, infrastructure
from platform_core import hookimpl
from platform_core.declarations import (
    HealthCheck,
    Migrations,
    Permission,
    Retry,
    Schedule,
    Seed,
    Services,
    Subscription,
    Task,
    Tier,
    on,
    per_unit_of_work,
)

QUICK = Retry(attempts_count=3, first_seconds=0.05, longest_seconds=0.1)

SLOW = Retry(attempts_count=3, first_seconds=60)
"""No test waits so long by accident; `deliver(skip_waits=True)` gets past it."""


@hookimpl
def register_services() -> Services:
    return Services(
        provides=[
            per_unit_of_work(application.AccountRepository, infrastructure.SqlAccountRepository),
            per_unit_of_work(application.Journal, infrastructure.SqlJournal),
            per_unit_of_work(contracts.AccountDirectory, infrastructure.SqlAccountDirectory, public=True),
        ],
        commands={
            application.OpenAccount: application.open_account,
            application.Deposit: application.deposit,
            application.Withdraw: application.withdraw,
            application.CheckPin: application.check_pin,
            application.ChangePin: application.change_pin,
            application.CloseAccount: application.close_account,
            application.DepositAndFail: application.deposit_and_fail,
            application.RequestReport: application.request_report,
            application.WriteReport: application.write_report,
            application.CloseBooks: application.close_books,
            application.Announce: application.announce,
        },
        queries={application.GetAccount: infrastructure.get_account},
    )


@hookimpl
def register_migrations() -> Migrations:
    return Migrations(Path(__file__).parent / "migrations" / "versions", infrastructure.METADATA)


@hookimpl
def register_event_handlers() -> Sequence[Subscription]:
    return [
        on(contracts.AccountOpened, application.greet_owner, name="ledger.greet_owner", retry=SLOW),
        on(contracts.Deposited, application.note_deposit, name="ledger.note_deposit", retry=SLOW),
    ]


@hookimpl
def register_tasks() -> Sequence[Task | Schedule]:
    return [
        Task(command=application.WriteReport, retry=QUICK),
        Task(command=application.CloseBooks, audited=False),
        Schedule(name="ledger.close_books", every=timedelta(hours=1), command=application.CloseBooks()),
    ]


@hookimpl
def register_permissions() -> Sequence[Permission]:
    return [Permission("accounts:read", "See every account")]


@hookimpl
def register_seeds() -> Sequence[Seed]:
    return [Seed(name="house", tier=Tier.ESSENTIAL, run=application.seed_house)]


@hookimpl
def register_health_checks() -> Sequence[HealthCheck]:
    async def check(reads: infrastructure.Reads) -> None:
        await reads.all(infrastructure.select(1))

    return [HealthCheck(name="vault", check=check)]
