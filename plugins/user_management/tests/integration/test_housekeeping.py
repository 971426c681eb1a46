from platform_core.testing import PlatformFactory
from user_management.application import PurgeLogins
from user_management.testing import essentials, log_in, sign_up


async def test_what_nobody_can_use_any_more_is_deleted_in_time(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        await p.client.post("/api/v1/auth/password-reset", json={"email": eve.email})
        await p.deliver()
        await p.client.post("/api/v1/auth/login", json={"email": eve.email, "password": "wrong"})

        async def counts() -> tuple[int, ...]:
            tables = ("user_sessions", "refresh_tokens", "mailed_links", "login_failures")
            return tuple([len(await p.sql(f"SELECT 1 FROM user_management.{table}")) for table in tables])

        await p.execute(PurgeLogins())
        assert await counts() == (1, 1, 1, 2)
        p.clock.advance(hours=1)
        await p.execute(PurgeLogins())
        assert await counts() == (1, 1, 1, 0)
        p.clock.advance(days=8)
        await log_in(p, eve.email)
        await p.execute(PurgeLogins())
        assert await counts() == (2, 2, 0, 0)
        p.clock.advance(days=30)
        await p.execute(PurgeLogins())
        assert await counts() == (1, 1, 0, 0)


async def test_a_login_costs_few_round_trips(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        body = {"email": eve.email, "password": eve.password}
        await p.client.post("/api/v1/auth/login", json=body)
        with p.count_statements() as traffic:
            answer = await p.client.post("/api/v1/auth/login", json=body)
        assert answer.status_code == 200
        assert traffic.count <= 3, traffic
        with p.count_statements() as traffic:
            refreshed = await p.client.post(
                "/api/v1/auth/refresh", json={"refresh_token": answer.json()["refresh_token"]}
            )
        assert refreshed.status_code == 200
        assert traffic.count <= 2, traffic
        body = {"email": "new@example.com", "username": "new", "password": "a long enough sentence"}
        with p.count_statements() as traffic:
            assert (await p.client.post("/api/v1/users/register", json=body)).status_code == 201
        assert traffic.count == 1, traffic
