"""
No statement reads a whole large table: each that the platform sends is explained on tables as they are after months.

A statement counts from the moment it is sent, so routes and modules that are added later are seen as soon as something
here uses them; every GET route is.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from platform_core import _outbox
from platform_core._gauges import Backlog
from platform_core._pools import KERNEL
from platform_core.domain import new_id
from platform_core.http.idempotency import purge_idempotency_keys
from platform_core.testing import PlatformFactory, RunningPlatform
from user_management.testing import Account, essentials, sign_up


def _tool() -> Any:
    """Return `tools/plans.py`, which looks at every statement of every test in the same way."""
    path = Path(__file__).parents[2] / "tools" / "plans.py"
    spec = importlib.util.spec_from_file_location("plans_of_tests", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look there
    spec.loader.exec_module(module)
    return module


plans = _tool()

_FILL = (
    "INSERT INTO user_management.users (id, version, created_at, updated_at, email, username, is_active,"
    " email_verified) SELECT platform.uuid7(), 1, now(), now(), format('p%%s@example.com', n), format('p%%s', n),"
    " true, true FROM generate_series(1, %(rows)s) n",
    "INSERT INTO user_management.user_sessions (id, user_id, created_at, last_seen_at, expires_at)"
    " SELECT platform.uuid7(), id, now(), now(), now() + interval '7 days' FROM user_management.users",
    "INSERT INTO user_management.refresh_tokens (hash, session_id, created_at)"
    " SELECT sha256(id::text::bytea), id, now() FROM user_management.user_sessions",
    "INSERT INTO user_management.user_roles SELECT u.id, r.id FROM user_management.users u, user_management.roles r"
    " WHERE r.name = 'member' ON CONFLICT DO NOTHING",
    "INSERT INTO user_management.login_failures (key, moments, updated_at)"
    " SELECT n::text, ARRAY[now()], now() FROM generate_series(1, %(rows)s) n",
    "INSERT INTO user_management.mailed_links (id, user_id, purpose, email, created_at, expires_at)"
    " SELECT platform.uuid7(), id, 'verification', email, now(), now() FROM user_management.users",
    "INSERT INTO audit.domain_events (id, name, version, aggregate_type, aggregate_id, payload, correlation_id,"
    " occurred_at) SELECT platform.uuid7(), 'user_management.user_renamed', 1, 'user_management.user', id, '{}', 'x',"
    " now() FROM user_management.users",
    "INSERT INTO platform.deliveries (id, handler, event_id, position, aggregate_id, status, finished_at)"
    " SELECT platform.uuid7(), 'notification.user_registered', id, position, aggregate_id,"
    " CASE WHEN position %% 10 = 0 THEN 'pending' ELSE 'done' END,"
    " CASE WHEN position %% 10 = 0 THEN NULL ELSE now() END"
    " FROM audit.domain_events",
    "INSERT INTO audit.audit_logs (id, actor_id, actor_label, action, resource_id, changes, outcome, request_id,"
    " occurred_at) SELECT platform.uuid7(), id, 'x', 'x', id, '{}', 'done', 'x', now() FROM user_management.users",
    "INSERT INTO audit.audit_chain (audit_id, position)"
    " SELECT id, row_number() OVER (ORDER BY id) FROM audit.audit_logs"
    " WHERE id NOT IN (SELECT audit_id FROM audit.audit_chain)",
    "INSERT INTO platform.idempotency_keys (key, fingerprint, locked_until)"
    " SELECT sha256(n::text::bytea), '', now() FROM generate_series(1, %(rows)s) n",
    "INSERT INTO notification.email_logs (id, version, created_at, updated_at, event_id, kind, user_id, channel,"
    " recipient, data, subject, status, attempts, sent_at) SELECT platform.uuid7(), 1, now(), now(), id, 'x',"
    " aggregate_id, 'email', 'x', '{}', 'x', 'sent', 1, now() FROM audit.domain_events",
)

Statements = dict[tuple[str, str], Sequence[Any]]


@pytest.mark.slow
async def test_no_statement_reads_a_whole_large_table(platform: PlatformFactory) -> None:
    async with platform(["user_management", "notification"], seed=essentials) as p:
        admin = await sign_up(p, "admin", permissions=["*"])
        sent = await _statements(p, admin)
        with psycopg.connect(p.database_url, autocommit=True) as connection:
            for statement in _FILL:
                connection.execute(statement.encode(), {"rows": plans.ROWS})
            connection.execute("ANALYZE")
            found = [
                f"{table}: {' '.join(sql.split())[:200]}"
                for (purpose, sql), values in sent.items()
                if sql not in ("BEGIN", "COMMIT")
                for table in plans.read_whole(
                    connection, plans.plan_of(connection, purpose, sql, values), sql
                )
            ]
    assert len(sent) > 40, "too little was tried"
    assert found == []


async def test_claiming_stays_as_cheap_whatever_waits_and_whatever_the_statistics_say(
    platform: PlatformFactory,
) -> None:
    async with platform(["user_management"]) as p:
        await p.sql("ANALYZE platform.deliveries")  # of a quiet hour: nothing waits
        await p.sql(
            "WITH happened AS (INSERT INTO audit.domain_events (id, name, version, aggregate_type, aggregate_id,"
            " payload, correlation_id, occurred_at) SELECT platform.uuid7(), 'x', 1, 'x', platform.uuid7(), '{}', 'x',"
            f" now() FROM generate_series(1, {plans.ROWS}) RETURNING id, position, aggregate_id)"
            " INSERT INTO platform.deliveries (id, handler, event_id, position, aggregate_id)"
            " SELECT platform.uuid7(), 'x.y', id, position, aggregate_id FROM happened"
        )
        sent: Statements = {}
        p.kernel.pools.watchers.append(
            lambda _, purpose, sql, values: sent.setdefault((purpose, sql), values)
        )
        await _outbox.claim(
            p.kernel.pools.claims(), {"x.y": 32}, newest={"x": 1}, token=new_id(), count=32, lease_seconds=1
        )
        [((purpose, sql), values)] = sent.items()
        with psycopg.connect(p.database_url, autocommit=True) as connection:
            plan = plans.plan_of(connection, purpose, sql, values, analyze=True)
    looked_at = max(node["Actual Rows"] * node["Actual Loops"] for node in plans.nodes(plan))
    assert looked_at < 500, f"{looked_at:g} rows were looked at for 32"


async def test_what_waits_for_a_module_that_is_off_is_not_read_to_count_the_rest(
    platform: PlatformFactory,
) -> None:
    """Somebody counts every few seconds, however long a module is off and however much waits for it."""
    async with platform(["user_management"]) as p:
        await p.sql(
            "INSERT INTO platform.deliveries (id, handler, command, available_at) SELECT platform.uuid7(), handler,"
            " '{}', now() - interval '1 minute' * sign(n - 50) FROM unnest(ARRAY['off.a', 'off.b', 'on.a']) handler,"
            f" generate_series(1, {plans.ROWS // 10}) n"
        )
        backlog = Backlog(p.kernel.pools.claims, {"off"})
        sent: list[tuple[str, str, Sequence[Any]]] = []
        p.kernel.pools.watchers.append(lambda _, purpose, sql, values: sent.append((purpose, sql, values)))
        await backlog.look()
        [(purpose, sql, values)] = sent
        with psycopg.connect(p.database_url, autocommit=True) as connection:
            plan = plans.plan_of(connection, purpose, sql, values, analyze=True)
    counted = {
        (sample.name, sample.labels["module"]): sample.value
        for family in backlog.collect()
        for sample in family.samples
        if "module" in sample.labels
    }
    assert counted["platform_deliveries_resting", "off"] == 2 * plans.ROWS // 10
    assert counted["platform_deliveries_due", "on"] == plans.ROWS // 10 - 49
    in_vain = sum(node.get("Rows Removed by Filter", 0) * node["Actual Loops"] for node in plans.nodes(plan))
    assert in_vain < 100, f"{in_vain:g} rows were read and thrown away"


async def _statements(p: RunningPlatform, admin: Account) -> Statements:
    """Use what there is, and return what was sent for it."""
    sent: Statements = {}

    def note(_module: str, purpose: str, sql: str, values: Sequence[Any]) -> None:
        sent.setdefault((purpose, sql), list(values))

    p.kernel.pools.watchers.append(note)
    await _change_things(p, admin)
    for path, methods in p.app.openapi()["paths"].items():
        if "get" in methods and path.startswith("/api/v1/") and not _never_ends(methods["get"]):
            await admin.client.get(path.replace("{user_id}", str(admin.id)))
            await admin.client.get(path, params={"q": "somebody"})
    await _keep_house(p)
    p.kernel.pools.watchers.remove(note)
    return sent


def _never_ends(operation: dict[str, Any]) -> bool:
    """Tell whether this is a stream of events."""
    return "text/event-stream" in operation["responses"].get("200", {}).get("content", {})


async def _change_things(p: RunningPlatform, admin: Account) -> None:
    eve = await sign_up(p, "eve")
    client, key = eve.client, {"Idempotency-Key": "once"}
    await client.patch("/api/v1/users/me", json={"full_name": "Eve", "locale": "de"})
    await p.client.post("/api/v1/auth/refresh", json={"refresh_token": eve.refresh_token}, headers=key)
    await p.client.post("/api/v1/auth/login", json={"email": eve.email, "password": "wrong"})
    await p.client.post("/api/v1/auth/password-reset", json={"email": eve.email})
    mail = {"email": "new@example.com", "username": "new"}
    for _ in range(2):
        await admin.client.post("/api/v1/users", json=mail, headers=key)
    await admin.client.put(f"/api/v1/users/{eve.id}/roles/admin")
    await admin.client.patch(f"/api/v1/users/{eve.id}", json={"is_active": False})
    await admin.client.delete(f"/api/v1/users/{eve.id}")
    await p.deliver()


async def _keep_house(p: RunningPlatform) -> None:
    pools, handlers = p.kernel.pools, p.kernel.worker().handlers
    pool, newest = pools.commands(KERNEL), p.kernel.bus.newest
    await _outbox.bury_orphans(pool, orphan_seconds=600)
    await _outbox.purge(pool, retention_days=90, keep=["x"])
    await _outbox.touch_subscriptions(pool, handlers)
    await _outbox.park_beyond(pool, handlers, newest, waited_seconds=600)
    await _outbox.revive_beyond(pool, handlers, newest)
    await _outbox.has_suspects(pools.claims(), handlers, newest)
    await _outbox.extend(pool, [(new_id(), new_id())], lease_seconds=1)
    await purge_idempotency_keys(pools, 24)
    for name in ("user_management.purge_logins", "notification.release_held_emails"):
        await p.execute(p.kernel.bus.codec.command(name, {}))
