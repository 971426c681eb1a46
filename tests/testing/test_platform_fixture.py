"""What the fixture `platform` promises to module authors."""

import asyncio
import os
import shlex
import smtplib
import sys
import time
from email.message import EmailMessage
from pathlib import Path

import psycopg
import pytest
from ledger.application import Deposit, GetAccount, OpenAccount, RequestReport
from ledger.contracts import AccountOpened

from platform_core.declarations import Tier
from platform_core.domain import new_id
from platform_core.errors import MigrationFailed, StartupFailed
from platform_core.security import Principal
from platform_core.testing import PlatformFactory, PluginSource, RunningPlatform, run_process

LEDGER = Path(__file__).parents[1] / "kernel" / "plugins" / "ledger"


async def test_the_kernel_alone_runs_without_any_plugin(platform: PlatformFactory) -> None:
    async with platform() as p:
        assert [plugin.name for plugin in p.kernel.active] == ["platform", "no_plugin"]
        assert await p.events() == []
        assert await p.deliver() == []


async def test_only_the_wanted_plugins_are_loaded(platform: PlatformFactory) -> None:
    async with platform(extra=[LEDGER]) as p:
        assert [plugin.name for plugin in p.kernel.plugins] == ["platform", "ledger"]
    with pytest.raises(StartupFailed) as failure:
        async with platform(["not_installed"]):
            pass
    assert "not_installed" in str(failure.value)


async def test_each_platform_has_a_database_of_its_own(platform: PlatformFactory, p: RunningPlatform) -> None:
    await p.execute(OpenAccount(owner="Ada"))
    async with platform(extra=[LEDGER]) as other:
        assert other.database_url != p.database_url
        assert await other.events() == []
        await other.execute(OpenAccount(owner="Ada"))
    assert len(await p.events()) == 1


@pytest.mark.parametrize("round_", [1, 2])
async def test_nothing_is_left_of_the_test_before(
    p: RunningPlatform, fresh_redis_url: str, round_: int
) -> None:
    import redis

    with redis.Redis.from_url(fresh_redis_url) as client:
        assert client.get("mine") is None
        client.set("mine", round_)
    assert await p.events() == []
    await p.execute(OpenAccount(owner="Ada"))


async def test_a_platform_beside_another_shares_database_redis_and_clock(
    platform: PlatformFactory, p: RunningPlatform
) -> None:
    async with platform(extra=[LEDGER], beside=p) as other:
        await p.execute(OpenAccount(owner="Ada"))
        assert len(await other.events()) == 1
        assert other.environment["REDIS_URL"] == p.environment["REDIS_URL"]
        assert other.clock is p.clock
        assert other.kernel is not p.kernel


async def test_the_database_is_gone_when_the_test_is_over(
    platform: PlatformFactory, platform_databases
) -> None:
    async with platform(extra=[LEDGER]) as p:
        url = p.database_url
    end = time.monotonic() + 20
    with psycopg.connect(platform_databases._url) as connection:
        while connection.execute(
            "SELECT FROM pg_database WHERE datname = %s", [url.split("/")[-1].split("?")[0]]
        ).fetchone():
            assert time.monotonic() < end
            await asyncio.sleep(0.05)


async def test_events_deliveries_jobs_and_lines_can_be_looked_at(p: RunningPlatform) -> None:
    account = await p.execute(OpenAccount(owner="Ada"))
    await p.execute(RequestReport(account_id=account.id))
    [event] = await p.events()
    assert (event.name, event.payload) == (
        "ledger.account_opened",
        {"account_id": str(account.id), "owner": "Ada"},
    )
    assert await p.events(AccountOpened) == [AccountOpened(account_id=account.id, owner="Ada")]
    assert {d.handler for d in await p.deliveries()} == {"ledger.greet_owner", "ledger.write_report"}
    [job] = await p.deliveries("ledger.write_report")
    assert job.command == {"account_id": str(account.id)}
    assert [line.action for line in await p.audit()] == ["ledger.open_account", "ledger.request_report"]
    assert {d.status for d in await p.deliver()} == {"done"}


async def test_a_finished_delivery_can_come_again(p: RunningPlatform) -> None:
    await p.execute(OpenAccount(owner="Ada"))
    with pytest.raises(LookupError, match=r"nothing yet; handlers with deliveries are: ledger\.greet_owner"):
        await p.redeliver("ledger.greet_owner")
    await p.deliver()
    [again] = await p.redeliver("ledger.greet_owner")
    assert (again.status, again.attempts_count) == ("done", 2)
    with pytest.raises(LookupError, match=r"ledger\.greet_owner"):
        await p.redeliver("ledger.misspelt")


async def test_the_seeds_of_the_loaded_modules_run_up_to_a_tier(platform: PlatformFactory) -> None:
    source = PluginSource(
        name="sown",
        files={
            "plugin.py": """
from platform_core import hookimpl
from platform_core.declarations import Seed, Tier

async def run(): ...

@hookimpl
def register_seeds():
    return [Seed(name=tier.name.lower(), tier=tier, run=run) for tier in Tier]
""",
        },
    )
    async with platform(extra=[source]) as p:

        async def runs() -> dict[str, int]:
            return {row["name"]: row["runs_count"] for row in await p.sql("SELECT * FROM platform.seeds")}

        await p.seed()
        assert await runs() == {"essential": 1}
        await p.seed(Tier.DEVELOPMENT)
        await p.seed(Tier.TEST)
        assert await runs() == {"essential": 3, "development": 2, "test": 1}


async def test_one_can_act_as_somebody(p: RunningPlatform) -> None:
    ada = Principal(user_id=new_id())
    acting = p.acting_as(ada)
    account = await acting.execute(OpenAccount(owner="Ada"))
    assert await acting.ask(GetAccount(account_id=account.id)) == account
    await p.execute(Deposit(account_id=account.id, amount=1))
    first, second = await p.audit()
    assert (first.actor_id, first.actor_label) == (ada.user_id, "user")
    assert (second.actor_id, second.actor_label) == (None, "system")


async def test_the_clock_stands_still_until_it_is_moved(p: RunningPlatform) -> None:
    await p.execute(OpenAccount(owner="Ada"))
    p.clock.advance(days=2, seconds=1)
    await p.execute(OpenAccount(owner="Bob"))
    first, second = await p.events()
    assert (second.occurred_at - first.occurred_at).total_seconds() == 2 * 86400 + 1
    with pytest.raises(ValueError, match="has no time zone"):
        p.clock.set(p.clock.now().replace(tzinfo=None))


async def test_sql_runs_with_the_migrators_rights(p: RunningPlatform) -> None:
    await p.execute(OpenAccount(owner="100 %"))
    assert await p.sql("SELECT owner FROM ledger.accounts WHERE owner LIKE '%'") == [{"owner": "100 %"}]
    assert await p.sql("SELECT %(n)s::int AS n", n=5) == [{"n": 5}]
    assert await p.sql("DELETE FROM audit.audit_logs") == []


async def test_mails_arrive_at_a_real_server(platform: PlatformFactory) -> None:
    async with platform(mail=True) as p:
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = "Hello", "a@example.org", "b@example.org"
        message.set_content("Hi!")
        url = p.kernel.settings.smtp_url
        assert url is not None
        port = int(url.get_secret_value().rpartition(":")[2])

        def send() -> None:
            with smtplib.SMTP("127.0.0.1", port) as server:
                server.send_message(message)

        await asyncio.to_thread(send)
        assert [(mail.subject, mail.recipients) for mail in p.mails] == [("Hello", ("b@example.org",))]


async def test_without_a_mail_server_asking_for_mails_is_an_error_that_helps(p: RunningPlatform) -> None:
    with pytest.raises(LookupError, match="capability smtp"):
        _ = p.mails


async def test_a_plugin_that_sends_mail_gets_a_server_by_itself(platform: PlatformFactory) -> None:
    source = PluginSource(name="postal", manifest='title = "P"\ncapabilities = ["smtp"]\n')
    async with platform(extra=[source]) as p:
        assert p.mails == ()


async def test_statements_are_counted_by_module_and_packets_to_redis(
    platform: PlatformFactory, p: RunningPlatform
) -> None:
    account = await p.execute(OpenAccount(owner="Ada"))
    async with platform(extra=[LEDGER], beside=p) as other:
        with p.count_statements() as traffic:
            await p.ask(GetAccount(account_id=account.id))
            await other.ask(GetAccount(account_id=account.id))
            await p.kernel.redis.ping()
    assert (traffic.count, traffic.redis_packets) == (1, 1)
    assert [(s.module, s.purpose) for s in traffic.statements] == [("ledger", "reads")]
    assert "1 statements, 1 Redis packets\n  ledger/reads: SELECT ledger.accounts.id" in str(traffic)


async def test_the_client_talks_to_the_application_without_a_network(p: RunningPlatform) -> None:
    assert (await p.client.get("/health/live")).status_code == 200
    assert p.client is p.client
    assert p.new_client({"X-Request-ID": "mine"}).headers["X-Request-ID"] == "mine"


async def test_settings_of_the_test_win(platform: PlatformFactory) -> None:
    async with platform(settings={"PLATFORM_RATE_LIMIT_SIGNUP": "3/minute"}) as p:
        assert p.kernel.settings.rate_limit_signup == (3, 60)
        assert p.kernel.settings.environment == "test"


async def test_what_a_plugin_needs_to_start_it_tells_itself(platform: PlatformFactory) -> None:
    source = PluginSource(
        name="needy",
        files={
            "plugin.py": """
from platform_core import hookimpl
from pydantic import BaseModel, SecretStr

class Settings(BaseModel):
    token: SecretStr

@hookimpl
def register_settings():
    return Settings
""",
            "testing.py": "def settings_for_tests():\n    return {'PLATFORM_NEEDY_TOKEN': 'thrown away'}\n",
        },
    )
    async with platform(extra=[source]) as p:
        assert p.kernel.declared["needy"].settings.token.get_secret_value() == "thrown away"


async def test_another_process_can_run_on_the_same_platform(p: RunningPlatform) -> None:
    await p.execute(OpenAccount(owner="Ada"))
    script = """
import asyncio, os
from platform_core.app import Kernel
from platform_core.settings import read_settings

async def main():
    kernel = Kernel.load(read_settings(os.environ))
    async with kernel.running():
        print("attempted", await kernel.worker().run_until_idle(), flush=True)

asyncio.run(main())
"""
    with run_process([sys.executable, "-c", script], env=p.environment) as process:
        process.wait_for_line("^attempted 1$")
        assert process.wait() == 0
    assert [d.status for d in await p.deliveries()] == ["done"]
    assert os.environ.get("PLATFORM_SECRET_KEY") is None, "the test's own environment is untouched"


PAINTS = """
import os, psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    connection.execute("ALTER TABLE ledger.accounts ADD COLUMN colour text")
"""


async def test_a_command_may_bring_databases_to_the_next_releases_tables(
    platform: PlatformFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_UPGRADE_COMMAND", shlex.join([sys.executable, "-c", PAINTS]))
    async with platform(extra=[LEDGER]) as p:
        await p.execute(OpenAccount(owner="Ada"))
        assert await p.sql("SELECT owner, colour FROM ledger.accounts") == [{"owner": "Ada", "colour": None}]

    fails = "raise SystemExit('the next release does not like this database')"
    monkeypatch.setenv("TEST_UPGRADE_COMMAND", shlex.join([sys.executable, "-c", fails]))
    with pytest.raises(MigrationFailed, match="the next release does not like this database"):
        async with platform(extra=[LEDGER]):
            pass
