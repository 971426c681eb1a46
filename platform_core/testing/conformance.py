"""
What every implementation of a port has to do, as test classes to inherit from.

An adapter's test says how to make it; the scenarios come from here, the same ones that the kernel's own adapters pass:

    class TestSqlAccountRepository(RepositoryConformance[Account]):
        module = "ledger"
        repository = SqlAccountRepository

        def make(self, number: int, now: datetime) -> Account:
            return Account.open(new_id(), f"owner {number}", now)

        def change(self, aggregate: Account, now: datetime) -> None:
            aggregate.deposit(1, now)

Suites that need a running platform take it from a fixture `p` of your own:

    @pytest.fixture
    async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
        async with platform(["ledger"]) as running:
            yield running

They are written for `asyncio_mode = auto`.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, ClassVar, Generic, TypeVar

import pytest

from platform_core import _outbox
from platform_core._pools import KERNEL
from platform_core._uow import SqlUnitOfWork, dumps
from platform_core.context import Context, bind
from platform_core.db import Repository
from platform_core.domain import Aggregate, Command, Event, new_id
from platform_core.errors import ConcurrentUpdate, LeaseLost, NotFound, Unauthenticated
from platform_core.ports import Clock, Jobs, Keys, Outbox
from platform_core.security import Authenticator
from platform_core.testing._platform import RunningPlatform
from platform_core.testing._records import StoredDelivery

__all__ = [
    "AuthenticatorConformance",
    "ClockConformance",
    "HandlerConformance",
    "KeysConformance",
    "OutboxConformance",
    "RepositoryConformance",
]

A = TypeVar("A", bound=Aggregate)

PARALLEL_COUNT = 20


class ClockConformance(ABC):
    """For implementations of `ports.Clock`."""

    @abstractmethod
    def clock(self) -> Clock:
        """Make one."""

    def test_the_time_is_utc_and_says_so(self) -> None:
        assert self.clock().now().utcoffset() == timedelta(0)

    def test_time_does_not_run_backwards(self) -> None:
        clock = self.clock()
        moments = [clock.now() for _ in range(100)]
        assert moments == sorted(moments)


class KeysConformance(ABC):
    """For implementations of `ports.Keys`."""

    @abstractmethod
    def keys(self, secret: str) -> Keys:
        """Make one from a platform's secret key of at least 32 characters."""

    def test_every_process_derives_the_same_key_for_the_same_purpose(self) -> None:
        first, second = self.keys("s" * 32), self.keys("s" * 32)
        assert first.derive("links") == second.derive("links") == first.derive("links")

    def test_keys_of_other_purposes_sizes_and_secrets_are_unrelated(self) -> None:
        keys = self.keys("s" * 32)
        derived = [keys.derive("links"), keys.derive("cursors"), self.keys("t" * 32).derive("links")]
        assert len(set(derived)) == 3
        assert "s" * 8 not in keys.derive("links").decode("latin-1")

    @pytest.mark.parametrize("size_bytes", [16, 32, 64])
    def test_a_key_has_the_size_that_was_asked_for(self, size_bytes: int) -> None:
        assert len(self.keys("s" * 32).derive("links", size_bytes)) == size_bytes


class OutboxConformance(ABC):
    """
    For implementations of `ports.Outbox` and `ports.Jobs`.

    Attributes:
        event: has at least one subscriber, `handler`.
        task: a command that is declared as a task.
    """

    event: ClassVar[Event]
    handler: ClassVar[str]
    task: ClassVar[Command[Any]]

    @abstractmethod
    def unit_of_work(self, p: RunningPlatform) -> contextlib.AbstractAsyncContextManager[tuple[Outbox, Jobs]]:
        """Run a block in a unit of work that commits at its end, and stores nothing when the block raises."""

    async def test_an_event_and_its_deliveries_are_stored_by_the_commit(self, p: RunningPlatform) -> None:
        aggregate_id = new_id()
        async with self.unit_of_work(p) as (outbox, _):
            outbox.emit(self.event, aggregate_type="conformance.thing", aggregate_id=aggregate_id)
            assert await p.events() == []
        [stored] = await p.events()
        assert (stored.name, stored.version) == (self.event.wire_name, self.event.wire_version)
        assert (stored.aggregate_type, stored.aggregate_id) == ("conformance.thing", aggregate_id)
        assert await p.events(type(self.event)) == [self.event]
        assert [delivery.event_id for delivery in await p.deliveries(self.handler)] == [stored.id]

    async def test_several_events_keep_their_order(self, p: RunningPlatform) -> None:
        identities = [new_id() for _ in range(5)]
        async with self.unit_of_work(p) as (outbox, _):
            for identity in identities:
                outbox.emit(self.event, aggregate_type="conformance.thing", aggregate_id=identity)
        assert [event.aggregate_id for event in await p.events()] == identities

    async def test_nothing_is_stored_of_what_did_not_commit(self, p: RunningPlatform) -> None:
        async def change_ones_mind() -> None:
            async with self.unit_of_work(p) as (outbox, jobs):
                outbox.emit(self.event, aggregate_type="conformance.thing", aggregate_id=new_id())
                jobs.later(self.task)
                raise RuntimeError("changed my mind")

        with pytest.raises(RuntimeError, match="changed my mind"):
            await change_ones_mind()
        assert await p.events() == []
        assert await p.deliveries() == []

    async def test_a_job_is_stored_with_its_command_and_its_time(self, p: RunningPlatform) -> None:
        async with self.unit_of_work(p) as (_, jobs):
            jobs.later(self.task)
            jobs.later(self.task, after_seconds=3600)
        first, second = await p.deliveries(self.task.wire_name)
        assert first.command == second.command == _as_stored(self.task)
        waits = sorted([first.available_at, second.available_at])
        assert timedelta(seconds=3590) < waits[1] - waits[0] < timedelta(seconds=3610)

    async def test_a_second_job_of_the_same_key_is_dropped(self, p: RunningPlatform) -> None:
        async with self.unit_of_work(p) as (_, jobs):
            jobs.later(self.task, key="once")
            jobs.later(self.task, key="once")
        async with self.unit_of_work(p) as (_, jobs):
            jobs.later(self.task, key="once")
            jobs.later(self.task, key="another")
        assert len(await p.deliveries(self.task.wire_name)) == 2


class RepositoryConformance(ABC, Generic[A]):
    """
    For repositories of aggregates and their mappings.

    Attributes:
        module: whose pool and database role are used.
        repository: the class under test; it is made with a unit of work alone.
    """

    module: ClassVar[str]
    repository: ClassVar[type[Repository[Any]]]

    @abstractmethod
    def make(self, number: int, now: datetime) -> A:
        """Return a new aggregate with every field set to something else than its default, unlike other numbers'."""

    @abstractmethod
    def change(self, aggregate: A, now: datetime) -> None:
        """Change it by one of its own methods."""

    @contextlib.asynccontextmanager
    async def _uow(self, p: RunningPlatform, *, commit: bool = True) -> AsyncIterator[SqlUnitOfWork]:
        uow = SqlUnitOfWork(p.kernel.pools.commands(self.module), p.clock, Context())
        try:
            yield uow
            if commit:
                uow.collect()
                await uow.commit()
        finally:
            await uow.close()

    async def _stored(self, p: RunningPlatform, number: int = 1) -> A:
        aggregate = self.make(number, p.clock.now())
        async with self._uow(p) as uow:
            self.repository(uow).add(aggregate)
        return aggregate

    async def test_every_field_comes_back_as_it_was(self, p: RunningPlatform) -> None:
        added = await self._stored(p)
        async with self._uow(p, commit=False) as uow:
            found = await self.repository(uow).get(added.id)
        assert type(found) is type(added)
        assert _state(found) == _state(added)

    async def test_several_live_beside_each_other(self, p: RunningPlatform) -> None:
        first, second = await self._stored(p, 1), await self._stored(p, 2)
        async with self._uow(p, commit=False) as uow:
            repository = self.repository(uow)
            assert _state(await repository.get(first.id)) == _state(first)
            assert _state(await repository.get(second.id)) == _state(second)

    async def test_a_change_is_stored_with_the_next_version(self, p: RunningPlatform) -> None:
        added = await self._stored(p)
        now = p.clock.advance(minutes=1)
        async with self._uow(p) as uow:
            changed = await self.repository(uow).get(added.id)
            self.change(changed, now)
        async with self._uow(p, commit=False) as uow:
            found = await self.repository(uow).get(added.id)
        assert _state(found) == _state(changed)
        assert (found.version, found.updated_at, found.created_at) == (2, now, added.created_at)

    async def test_what_was_only_looked_at_is_not_written(self, p: RunningPlatform) -> None:
        added = await self._stored(p)
        async with self._uow(p, commit=False) as uow:
            await self.repository(uow).get(added.id)
            uow.collect()
            assert not uow.has_work

    async def test_of_two_changes_to_one_version_the_later_is_refused(self, p: RunningPlatform) -> None:
        added = await self._stored(p)
        async with self._uow(p, commit=False) as late:
            slow = await self.repository(late).get(added.id)
            async with self._uow(p) as uow:
                quick = await self.repository(uow).get(added.id)
                self.change(quick, p.clock.now())
            self.change(slow, p.clock.now())
            late.collect()
            with pytest.raises(ConcurrentUpdate):
                await late.commit()

    async def test_the_same_one_asked_for_twice_is_one_object(self, p: RunningPlatform) -> None:
        added = await self._stored(p)
        async with self._uow(p, commit=False) as uow:
            repository = self.repository(uow)
            assert await repository.get(added.id) is await repository.get(added.id)

    async def test_one_that_is_not_there_is_missing(self, p: RunningPlatform) -> None:
        async with self._uow(p, commit=False) as uow:
            with pytest.raises(self.repository.missing):
                await self.repository(uow).get(new_id())
        assert issubclass(self.repository.missing, NotFound) or self.repository.missing.kind is NotFound.kind

    async def test_a_deleted_one_is_missing_in_the_same_unit_of_work_and_after(
        self, p: RunningPlatform
    ) -> None:
        added = await self._stored(p)
        async with self._uow(p) as uow:
            repository = self.repository(uow)
            (await repository.get(added.id)).delete(p.clock.now())
            with pytest.raises(repository.missing):
                await repository.get(added.id)
        async with self._uow(p, commit=False) as uow:
            with pytest.raises(self.repository.missing):
                await self.repository(uow).get(added.id)

    async def test_events_are_stored_once(self, p: RunningPlatform) -> None:
        aggregate = self.make(1, p.clock.now())
        recorded = [event.wire_name for event in aggregate._events]
        async with self._uow(p) as uow:
            self.repository(uow).add(aggregate)
        assert [event.name for event in await p.events()] == recorded
        assert {event.aggregate_id for event in await p.events()} <= {aggregate.id}
        async with self._uow(p) as uow:
            await self.repository(uow).get(aggregate.id)
        assert len(await p.events()) == len(recorded)

    async def test_secret_columns_are_masked_for_the_trail(self, p: RunningPlatform) -> None:
        mapping = self.repository.mapping
        async with self._uow(p, commit=False) as uow:
            self.repository(uow).add(self.make(1, p.clock.now()))
            noted = uow.collect().rows[mapping.table.name]
        assert set(mapping.secret) <= set(noted)
        for column in mapping.secret:
            assert noted[column] in ([None, "[secret]"], [None, None])


class HandlerConformance(ABC):
    """
    For event handlers and tasks: however often one delivery is run, it has one effect.

    Attributes:
        handler: its stable name.
    """

    handler: ClassVar[str]

    @abstractmethod
    async def cause(self, p: RunningPlatform) -> None:
        """Do what leads to one delivery for this handler."""

    @abstractmethod
    async def effects_count(self, p: RunningPlatform) -> int:
        """Count what the handler has done, such as rows or queued mails."""

    async def _claimed(self, p: RunningPlatform, lease_seconds: float) -> _outbox.Delivery:
        pool = p.kernel.pools.commands(KERNEL)
        claimed = await _outbox.claim(
            pool,
            {self.handler: 10},
            newest=p.kernel.bus.newest,
            token=new_id(),
            count=10,
            lease_seconds=lease_seconds,
        )
        assert len(claimed) == 1, f"`cause` led to {len(claimed)} deliveries for {self.handler}, not to one"
        return claimed[0]

    async def _delivery(self, p: RunningPlatform) -> StoredDelivery:
        [delivery] = await p.deliveries(self.handler)
        return delivery

    async def test_one_delivery_has_one_effect(self, p: RunningPlatform) -> None:
        await self.cause(p)
        before = await self.effects_count(p)
        await p.kernel.bus.deliver(await self._claimed(p, 60))
        assert await self.effects_count(p) == before + 1
        assert (await self._delivery(p)).status == "done"

    async def test_parallel_runs_of_one_delivery_have_one_effect(self, p: RunningPlatform) -> None:
        await self.cause(p)
        before = await self.effects_count(p)
        delivery = await self._claimed(p, 60)
        runs = (p.kernel.bus.deliver(delivery) for _ in range(PARALLEL_COUNT))
        outcomes = await asyncio.gather(*runs, return_exceptions=True)
        assert await self.effects_count(p) == before + 1
        assert outcomes.count(None) == 1, outcomes
        unexpected = [
            outcome for outcome in outcomes if outcome is not None and not isinstance(outcome, LeaseLost)
        ]
        assert unexpected == []

    async def test_a_worker_that_lost_its_lease_leaves_no_effect(self, p: RunningPlatform) -> None:
        await self.cause(p)
        before = await self.effects_count(p)
        late = await self._claimed(p, 0)
        await p.kernel.bus.deliver(await self._claimed(p, 60))
        with pytest.raises(LeaseLost):
            await p.kernel.bus.deliver(late)
        assert await self.effects_count(p) == before + 1


class AuthenticatorConformance(ABC):
    """For implementations of `security.Authenticator`."""

    @abstractmethod
    def authenticator(self, p: RunningPlatform) -> Authenticator:
        """Return the one under test: `p.kernel.authenticators["bearer"]`."""

    @abstractmethod
    async def sign_in(self, p: RunningPlatform) -> str:
        """Make a user who may log in and return credentials of theirs."""

    @abstractmethod
    async def revoke(self, p: RunningPlatform, credentials: str) -> None:
        """End the session that the credentials belong to."""

    def test_its_scheme_is_lower_case(self, p: RunningPlatform) -> None:
        scheme = self.authenticator(p).scheme
        assert scheme == scheme.lower() != ""

    async def test_good_credentials_name_user_session_and_end(self, p: RunningPlatform) -> None:
        claim = self.authenticator(p).verify(await self.sign_in(p))
        assert claim.expires_at > p.clock.now()
        principal = await self.authenticator(p).standing(claim)
        assert principal is not None
        assert (principal.user_id, principal.session_id) == (claim.user_id, claim.session_id)

    async def test_bad_credentials_are_all_refused_alike(self, p: RunningPlatform) -> None:
        good = await self.sign_in(p)
        middle = len(good) // 2
        flipped = good[:middle] + ("A" if good[middle] != "A" else "B") + good[middle + 1 :]
        messages = set()
        for bad in (
            "",
            " ",
            "x",
            good + "x",
            good[:-2],
            good[middle:],
            flipped,
            "\0",
            "é",
            "a.b.c",
            good.swapcase(),
        ):
            with pytest.raises(Unauthenticated) as refusal:
                self.authenticator(p).verify(bad)
            messages.add(str(refusal.value))
        assert len(messages) == 1, "the message tells what was wrong"

    async def test_credentials_of_another_platform_are_refused(self, p: RunningPlatform) -> None:
        forged = _unsigned(await self.sign_in(p))
        with pytest.raises(Unauthenticated):
            self.authenticator(p).verify(forged)

    async def test_credentials_end(self, p: RunningPlatform) -> None:
        credentials = await self.sign_in(p)
        claim = self.authenticator(p).verify(credentials)
        p.clock.set(claim.expires_at + timedelta(minutes=1))
        with pytest.raises(Unauthenticated):
            self.authenticator(p).verify(credentials)

    async def test_a_revoked_session_has_no_standing(self, p: RunningPlatform) -> None:
        credentials = await self.sign_in(p)
        claim = self.authenticator(p).verify(credentials)
        await self.revoke(p, credentials)
        with bind(Context(primary_reads=True)):
            assert await self.authenticator(p).standing(claim) is None

    async def test_one_session_ends_without_the_other(self, p: RunningPlatform) -> None:
        first, second = await self.sign_in(p), await self.sign_in(p)
        await self.revoke(p, first)
        claim = self.authenticator(p).verify(second)
        assert await self.authenticator(p).standing(claim) is not None


def _state(aggregate: Aggregate) -> Mapping[str, Any]:
    return {field.name: getattr(aggregate, field.name) for field in fields(aggregate) if field.init}


def _as_stored(message: Any) -> Any:
    import orjson

    return orjson.loads(dumps(message))


def _unsigned(credentials: str) -> str:
    """Take the signature off, and claim that there is none, as in RFC 8725, section 2.1."""
    parts = credentials.split(".")
    return (
        ".".join(["eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", *parts[1:-1], ""])
        if len(parts) == 3
        else "none." + credentials
    )
