import hmac
from hashlib import sha256

import pytest

from platform_core._pools import Pools
from platform_core.clock import SystemClock
from platform_core.db import Cursors, Reads
from platform_core.domain import new_id
from platform_core.settings import KernelSettings, read_module_settings
from user_management.domain import InvalidToken
from user_management.infrastructure.links import LinkTokens, PublicLinks
from user_management.settings import UserManagementSettings
from user_management.testing import settings_for_tests


class DerivedFrom:
    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def derive(self, purpose: str, size_bytes: int = 32) -> bytes:
        return hmac.digest(self._secret, purpose.encode(), sha256)[:size_bytes]


TOKENS = LinkTokens(DerivedFrom(b"secret"))
PURPOSES = ("verification", "password_reset", "invitation")


def test_a_token_leads_back_to_its_request() -> None:
    link_id = new_id()
    assert TOKENS.read(TOKENS.make("password_reset", link_id), PURPOSES) == ("password_reset", link_id)


def test_a_token_of_one_purpose_is_none_of_another() -> None:
    token = TOKENS.make("verification", new_id())
    with pytest.raises(InvalidToken):
        TOKENS.read(token, ("password_reset", "invitation"))


def test_a_token_cannot_be_made_from_what_the_database_holds() -> None:
    link_id = new_id()
    with pytest.raises(InvalidToken):
        TOKENS.read(LinkTokens(DerivedFrom(b"another secret")).make("verification", link_id), PURPOSES)


@pytest.mark.parametrize("place", [0, 10, 21, 23, 40, 64])
def test_every_character_counts(place: int) -> None:
    token = TOKENS.make("verification", new_id())
    changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
    with pytest.raises(InvalidToken):
        TOKENS.read(changed, PURPOSES)


@pytest.mark.parametrize(
    "token", ["", ".", "a.b", "🙂.🙂", "\0", "x" * 200, "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAA."]
)
def test_nonsense_is_refused_like_everything_else(token: str) -> None:
    with pytest.raises(InvalidToken):
        TOKENS.read(token, PURPOSES)


def test_links_begin_with_the_public_url_and_the_pages_of_the_settings() -> None:
    variables = {**settings_for_tests(), "PLATFORM_USER_MANAGEMENT_RESET_PASSWORD_PAGE": "/app/new-password"}
    settings = read_module_settings("user_management", UserManagementSettings, variables)
    kernel = KernelSettings.model_validate(
        {
            "DATABASE_URL": "postgresql://x",
            "REDIS_URL": "redis://x",
            "PLATFORM_SECRET_KEY": "k" * 48,
            "PLATFORM_PUBLIC_URL": "https://people.example/",
        }
    )
    reads = Reads(
        Pools(kernel), "user_management", Cursors(b"key")
    )  # connects when it is first asked: never here
    links, link_id = PublicLinks(TOKENS, settings, kernel, reads, SystemClock()), new_id()
    token = TOKENS.make("invitation", link_id)
    assert links.invitation_link(link_id) == f"https://people.example/app/new-password?token={token}"
    assert links.password_reset_link(link_id).startswith("https://people.example/app/new-password?token=")
    assert links.verification_link(link_id).startswith("https://people.example/verify-email?token=")
