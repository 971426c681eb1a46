"""`platform events`, `platform sagas` and `platform audit` on a database where something happened."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from platform_core._pools import libpq_url
from platform_core.testing import PlatformFactory, RunningPlatform

if TYPE_CHECKING:
    from conftest import CommandLine


@pytest.fixture
async def p(platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
    async with platform(["user_management"]) as running:
        yield running


async def dead_letter(p: RunningPlatform, handler: str, error: str = "the mail server said no") -> uuid.UUID:
    identity = uuid.uuid4()
    async with await psycopg.AsyncConnection.connect(
        libpq_url(p.database_url), autocommit=True
    ) as connection:
        await connection.execute(
            "INSERT INTO platform.deliveries"
            " (id, handler, command, context, status, attempts_count, last_error, finished_at)"
            " VALUES (%s, %s, '{}', '{}', 'dead', 8, %s, now())",
            (identity, handler, error),
        )
    return identity


async def status(p: RunningPlatform, identity: uuid.UUID) -> tuple[str, int]:
    async with await psycopg.AsyncConnection.connect(libpq_url(p.database_url)) as connection:
        cursor = await connection.execute(
            "SELECT status, attempts_count FROM platform.deliveries WHERE id = %s", (identity,)
        )
        row = await cursor.fetchone()
        assert row is not None
        return row[0], row[1]


async def test_dead_letters_are_listed_with_their_cause_and_filtered(
    p: RunningPlatform, cli: CommandLine
) -> None:
    one, _other = await dead_letter(p, "shop.mail"), await dead_letter(p, "shop.bill")
    assert {d["handler"] for d in cli("events", "list", "--json", env=p.environment).json} == {
        "shop.mail",
        "shop.bill",
    }
    found = cli(
        "events", "list", "--status", "dead", "--handler", "shop.mail", "--json", env=p.environment
    ).json
    assert [(d["id"], d["last_error"]) for d in found] == [(str(one), "the mail server said no")]
    assert cli("events", "list", "--status", "parked", env=p.environment).out == "None.\n"
    assert "the mail server said no" in cli("events", "list", env=p.environment).out


async def test_one_delivery_is_shown(p: RunningPlatform, cli: CommandLine) -> None:
    one = await dead_letter(p, "shop.mail")
    shown = cli("events", "show", str(one), "--json", env=p.environment).json
    assert shown["event"] is None
    assert [d["handler"] for d in shown["deliveries"]] == ["shop.mail"]
    assert "the mail server said no" in cli("events", "show", str(one), env=p.environment).out
    assert cli("events", "show", str(uuid.uuid4()), env=p.environment).code == 2


async def test_dead_letter_is_retried_and_the_trail_says_by_whom(
    p: RunningPlatform, cli: CommandLine
) -> None:
    one, other = await dead_letter(p, "shop.mail"), await dead_letter(p, "shop.bill")
    outcome = cli("events", "retry", str(one), env=p.environment)
    assert (outcome.code, outcome.out) == (0, "1 delivery is due again.\n")
    assert await status(p, one) == ("pending", 0)
    assert await status(p, other) == ("dead", 8)
    async with await psycopg.AsyncConnection.connect(libpq_url(p.database_url)) as connection:
        cursor = await connection.execute(
            "SELECT actor_label, action, outcome FROM audit.audit_logs WHERE resource_id = %s", (one,)
        )
        assert await cursor.fetchall() == [("command line", "platform.retry_delivery", "done")]


async def test_all_dead_letters_of_one_handler_are_retried(p: RunningPlatform, cli: CommandLine) -> None:
    mails = [await dead_letter(p, "shop.mail") for _ in range(3)]
    bill = await dead_letter(p, "shop.bill")
    outcome = cli("events", "retry", "--all-dead", "--handler", "shop.mail", "--json", env=p.environment)
    assert outcome.code == 0
    assert set(outcome.json["retried"]) == {str(mail) for mail in mails}
    assert await status(p, bill) == ("dead", 8)


async def test_what_cannot_be_retried_is_named_with_code_1(p: RunningPlatform, cli: CommandLine) -> None:
    one, nobody = await dead_letter(p, "shop.mail"), uuid.uuid4()
    outcome = cli("events", "retry", str(one), str(nobody), env=p.environment)
    assert outcome.code == 1
    assert "1 delivery is due again." in outcome.out
    assert f"{nobody}: There is no such delivery." in outcome.err


async def test_trail_is_verified_and_its_head_told(p: RunningPlatform, cli: CommandLine) -> None:
    outcome = cli("audit", "verify", "--json", env=p.environment)
    assert outcome.code == 0
    assert outcome.json["ok"] is True
    assert cli("audit", "verify", "--expected-head", outcome.json["head"], env=p.environment).code in (0, 1)


async def test_forged_line_is_found_with_code_1(p: RunningPlatform, cli: CommandLine) -> None:
    async with await psycopg.AsyncConnection.connect(
        libpq_url(p.database_url), autocommit=True
    ) as connection:
        await connection.execute(
            "INSERT INTO audit.audit_logs (id, actor_label, action, changes, outcome, request_id, occurred_at)"
            " VALUES (gen_random_uuid(), 'mallory', 'shop.pay', '{}', 'done', 'r', now())"
        )
    outcome = cli("audit", "verify", env=p.environment)
    assert outcome.code == 1
    assert "slipped in behind the chain's back" in outcome.err
    assert cli("audit", "verify", "--expected-head", "00" * 32, env=p.environment).code == 1


async def test_broken_module_does_not_keep_anybody_from_verifying(
    p: RunningPlatform, cli: CommandLine, tmp_path: Path
) -> None:
    environment = {**p.environment, "PLATFORM_MODULES": "nobody_has_installed_this"}
    assert cli("audit", "verify", env=environment).code == 0


# ── sagas ────────────────────────────────────────────────────────────────────────────────────────


async def test_sagas_are_listed_shown_and_decided_about(platform: PlatformFactory, cli: CommandLine) -> None:
    async with platform(["courses", "orders"]) as p:
        stuck = await stuck_saga(p)
        [listed] = cli("sagas", "list", "--status", "needs_attention", "--json", env=p.environment).json
        assert (listed["id"], listed["name"], listed["error"]) == (str(stuck), "orders.purchase", "It hangs.")
        assert "payment failed" in cli("sagas", "list", env=p.environment).out
        shown = cli("sagas", "show", str(stuck), env=p.environment).out
        assert "orders.purchase@1: needs_attention" in shown
        assert "started" in shown
        assert cli("sagas", "retry", str(stuck), env=p.environment).out == f"{stuck} goes on.\n"
        assert "goes on without" in cli("sagas", "skip", str(stuck), env=p.environment).out
        assert cli("sagas", "compensate", str(stuck), env=p.environment).code == 0
        again = cli("sagas", "compensate", str(stuck), "--json", env=p.environment)
        assert (again.code, again.json["done"]) == (1, [])
        assert "compensating already" in again.json["refused"][0]["reason"]
        lines = [line for line in await p.audit() if line.resource_type == "platform.saga"]
        assert [(line.action, line.actor_label) for line in lines] == [
            ("platform.retry_saga", "command line"),
            ("platform.skip_saga_step", "command line"),
            ("platform.compensate_saga", "command line"),
        ]


async def stuck_saga(p: RunningPlatform) -> uuid.UUID:
    """A purchase whose payment nobody knows of, and whose steps are without consequences when taken back."""
    names = ("payment", "enrolment", "confirmation", "completion")
    steps = [{"name": name, "status": "pending", "attempts": 0} for name in names]
    steps[0] |= {"status": "failed", "attempts": 6, "error": "It hangs."}
    identity = uuid.uuid4()
    await p.sql(
        "INSERT INTO platform.sagas (id, name, definition, status, steps, data, correlation_id)"
        " VALUES (%(id)s, 'orders.purchase', 1, 'needs_attention', %(steps)s::jsonb, '{}', 'none')",
        id=identity,
        steps=json.dumps(steps),
    )
    await p.sql("INSERT INTO platform.saga_log (saga_id, what) VALUES (%(id)s, 'started')", id=identity)
    return identity
