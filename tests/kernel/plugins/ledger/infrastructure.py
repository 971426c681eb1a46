"""The ledger's tables, and what reads and writes them."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import (
    Column,
    DateTime,
    ForeignKey,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB

from ledger.application import GetAccount
from ledger.contracts import AccountView
from ledger.domain import Account, OwnerTaken
from platform_core.db import (
    AggregateMap,
    Children,
    Reads,
    Repository,
    UnitOfWork,
    aggregate_columns,
    module_metadata,
)
from platform_core.domain import new_id
from platform_core.errors import NotFound

METADATA = module_metadata("ledger")

accounts = Table(
    "accounts",
    METADATA,
    *aggregate_columns(),
    Column("owner", Text, nullable=False),
    Column("pin", Text, nullable=False),
    Column("balance", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("note", Text),
    Column("terms", JSONB, nullable=False),
    UniqueConstraint("owner"),
)
account_tags = Table(
    "account_tags",
    METADATA,
    Column("account_id", Uuid, ForeignKey(accounts.c.id), primary_key=True),
    Column("tag", Text, primary_key=True),
)
entries = Table(
    "entries",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("account_id", Uuid, nullable=False),
    Column("text", Text, nullable=False),
    Column("written_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
)

account_map = AggregateMap(
    Account,
    accounts,
    name="ledger.account",
    children=[Children("tags", account_tags, "account_id", "tag")],
    secret={"pin"},
    constraints={"uq_accounts_owner": OwnerTaken},
)


class SqlAccountRepository(Repository[Account]):
    mapping = account_map


class SqlJournal:
    def __init__(self, uow: UnitOfWork) -> None:
        self.uow = uow

    def write(self, account_id: UUID, text: str) -> None:
        self.uow.write(insert(entries).values(id=new_id(), account_id=account_id, text=text), expect=1)


class SqlAccountDirectory:
    def __init__(self, reads: Reads) -> None:
        self.reads = reads

    async def balance(self, account_id: UUID) -> int:
        row = await self.reads.one(select(accounts.c.balance).where(accounts.c.id == account_id))
        return int(row["balance"]) if row else 0


async def get_account(query: GetAccount, reads: Reads) -> AccountView:
    row = await reads.one(
        select(accounts.c.id, accounts.c.owner, accounts.c.balance, accounts.c.version).where(
            accounts.c.id == query.account_id, accounts.c.deleted_at.is_(None)
        )
    )
    if row is None:
        raise NotFound
    return AccountView(**row)
