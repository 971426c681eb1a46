"""The authenticator that comes with user management."""

from collections.abc import AsyncIterator

import pytest

from platform_core.domain import new_id
from platform_core.security import Authenticator
from platform_core.testing import PlatformFactory, RunningPlatform
from platform_core.testing.conformance import AuthenticatorConformance
from user_management.testing import essentials, sign_up


class TestBearerTokens(AuthenticatorConformance):
    @pytest.fixture
    async def p(self, platform: PlatformFactory) -> AsyncIterator[RunningPlatform]:
        async with platform(["user_management"], seed=essentials) as running:
            yield running

    def authenticator(self, p: RunningPlatform) -> Authenticator:
        return p.kernel.authenticators["bearer"]

    async def sign_in(self, p: RunningPlatform) -> str:
        return (await sign_up(p, f"user_{new_id().hex[-8:]}")).access_token

    async def revoke(self, p: RunningPlatform, credentials: str) -> None:
        async with p.new_client({"Authorization": f"Bearer {credentials}"}) as client:
            assert (await client.post("/api/v1/auth/logout")).status_code == 204
