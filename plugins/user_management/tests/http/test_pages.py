import re

import pytest

from platform_core.testing import PlatformFactory
from user_management.testing import essentials


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/verify-email", "/api/v1/auth/verify-email"),
        ("/reset-password", "/api/v1/auth/password-reset/confirm"),
    ],
)
async def test_a_mailed_link_leads_to_a_page_that_runs_nothing_but_its_own_script(
    platform: PlatformFactory, path: str, target: str
) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        answer = await p.client.get(path, params={"token": '"><script>alert(1)</script>'})
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/html")
        assert answer.headers["Referrer-Policy"] == "no-referrer", "the token stays here"
        [nonce] = set(re.findall(r'<script nonce="([^"]+)"', answer.text))
        policy = answer.headers["Content-Security-Policy"]
        assert f"script-src 'nonce-{nonce}'" in policy
        assert "default-src 'none'" in policy
        assert "alert(1)" not in answer.text, "what the address says is not part of the page"
        assert f'data-to="{target}"' in answer.text
        assert (await p.client.post(target, json={"nonsense": 1})).status_code == 422, "and it exists"


async def test_opening_a_link_changes_nothing(platform: PlatformFactory) -> None:
    async with platform(["user_management"], seed=essentials) as p:
        body = {"email": "ada@example.com", "username": "ada", "password": "a long enough sentence"}
        await p.client.post("/api/v1/users/register", json=body)
        await p.client.get("/verify-email", params={"token": "x"})
        [row] = await p.sql("SELECT email_verified FROM user_management.users")
        assert row["email_verified"] is False
