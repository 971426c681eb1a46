"""What is looked up for the metrics: what waits and who failed, connections, modules; and SQL as spans."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from platform_core import tracing
from platform_core._gauges import Backlog
from platform_core._pool import PoolExhausted
from platform_core.testing import PlatformFactory, RunningPlatform
from user_management.testing import essentials, sign_up


@pytest.fixture
async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    async with platform(["user_management", "notification"], seed=essentials) as running:
        yield running


def value(p: RunningPlatform, name: str, **labels: str) -> float | None:
    return p.kernel.metrics.registry.get_sample_value(name, labels)


async def test_what_waits_and_what_has_failed_is_counted_by_module(p: RunningPlatform) -> None:
    backlog = Backlog(p.kernel.pools.claims)
    p.kernel.metrics.registry.register(backlog)
    assert value(p, "platform_deliveries_due", module="") is None, "nobody has looked yet"
    await p.deliver()
    await backlog.look()
    assert value(p, "platform_deliveries_due", module="") == 0
    await p.sql(
        "INSERT INTO platform.deliveries (id, handler, command, available_at)"
        " SELECT platform.uuid7(), 'notification.x', '{}', now() + late * interval '1 minute'"
        " FROM unnest(ARRAY[-5, -1, 5]) late"
    )
    await backlog.look()
    assert value(p, "platform_deliveries_due", module="notification") == 2
    oldest = value(p, "platform_deliveries_oldest_due_seconds", module="notification")
    assert oldest == pytest.approx(300, abs=20)
    await p.sql("UPDATE platform.deliveries SET status = 'dead', lease_token = NULL WHERE status = 'pending'")
    await p.sql(
        "INSERT INTO platform.sagas (id, name, definition, status, steps, data, correlation_id)"
        " SELECT platform.uuid7(), 'a.b', 1, status, '[]', '{}', 'x'"
        " FROM unnest(ARRAY['running', 'needs_attention', 'completed']) status"
    )
    await backlog.look()
    assert value(p, "platform_deliveries_due", module="notification") is None
    assert value(p, "platform_deliveries_set_aside", module="notification", status="dead") == 3
    assert value(p, "platform_sagas_open", saga="a.b", status="needs_attention") == 1
    assert value(p, "platform_sagas_open", saga="a.b", status="completed") is None
    assert (value(p, "platform_audit_unchained") or 0) > 0


async def test_what_waits_for_a_module_that_is_off_is_no_lag(p: RunningPlatform) -> None:
    resting = {"notification"}
    backlog = Backlog(p.kernel.pools.claims, resting)
    p.kernel.metrics.registry.register(backlog)
    await p.deliver()
    await p.sql(
        "INSERT INTO platform.deliveries (id, handler, command, available_at)"
        " SELECT platform.uuid7(), module || '.x', '{}', now() - interval '1 hour'"
        " FROM unnest(ARRAY['notification', 'notification', 'user_management']) module"
    )
    await backlog.look()
    assert value(p, "platform_deliveries_resting", module="notification") == 2
    assert value(p, "platform_deliveries_due", module="notification") is None
    assert value(p, "platform_deliveries_oldest_due_seconds", module="notification") is None
    assert value(p, "platform_deliveries_due", module="user_management") == 1
    resting.clear()  # it is on again, and what has waited is due
    await backlog.look()
    assert value(p, "platform_deliveries_resting", module="notification") is None
    assert value(p, "platform_deliveries_due", module="notification") == 2


async def test_what_was_counted_long_ago_is_not_told(
    p: RunningPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    backlog = Backlog(p.kernel.pools.claims)
    await backlog.look()
    assert list(backlog.collect())
    monkeypatch.setattr("platform_core._gauges._STALE_SECONDS", 0.0)
    assert not list(backlog.collect())


async def test_only_the_scheduler_that_acts_says_so(p: RunningPlatform) -> None:
    scheduler = p.kernel.scheduler()
    assert value(p, "platform_scheduler_acting") == 0
    running = asyncio.create_task(scheduler.run())
    try:
        async with asyncio.timeout(10):
            while True:
                if (
                    value(p, "platform_scheduler_acting") == 1
                    and value(p, "platform_audit_unchained") is not None
                ):
                    break
                await asyncio.sleep(0.05)
    finally:
        scheduler.stop()
        await running
    assert value(p, "platform_scheduler_acting") == 0


async def test_connections_are_counted_by_pool_and_so_is_who_got_none(platform: PlatformFactory) -> None:
    narrow = {"PLATFORM_DATABASE_POOL_SIZE": "1", "PLATFORM_DATABASE_POOL_TIMEOUT_SECONDS": "0.05"}
    async with platform(["user_management"], settings=narrow) as p:
        pool, labels = (
            p.kernel.pools.commands("user_management"),
            {"module": "user_management", "purpose": "commands"},
        )
        async with pool.connect():
            assert value(p, "platform_database_connections", **labels) == 1
            with pytest.raises(PoolExhausted):
                await pool.take()
        assert value(p, "platform_database_connections", **labels) == 0
        assert value(p, "platform_database_pool_size", **labels) == 1
        assert value(p, "platform_database_pool_refusals_total", **labels) == 1
        assert value(p, "platform_module_up", module="user_management", version="0.1.0") == 1


async def test_statements_are_spans_of_the_trace_that_asks_for_them(
    platform: PlatformFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
    async with platform(["user_management"], seed=essentials) as p:
        ann = await sign_up(p, "ann")
        exporter.clear()
        async with p.kernel.pools.commands("user_management").connect() as connection:
            await connection.fetch("SELECT 1 AS one")
        assert not exporter.get_finished_spans(), "nobody asked"
        with tracing.span("outside"):
            async with p.kernel.pools.commands("user_management").connect() as connection:
                await connection.fetch(
                    "SELECT id FROM user_management.users WHERE username = %(name)s", {"name": "ann"}
                )
    statement, outside = exporter.get_finished_spans()
    assert (statement.name, statement.kind) == ("sql user_management", SpanKind.CLIENT)
    assert statement.parent is not None
    assert statement.parent.span_id == outside.context.span_id
    assert statement.attributes is not None
    assert "ann" not in str(statement.attributes["db.query.text"])
    assert ann.id
