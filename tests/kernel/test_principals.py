"""Who is asking."""

import pytest

from platform_core.domain import new_id
from platform_core.errors import Forbidden, Unauthenticated
from platform_core.security import ANONYMOUS, SYSTEM, Principal


def test_a_user_is_who_they_are() -> None:
    user_id = new_id()
    assert Principal(user_id=user_id).require_user() == user_id


def test_a_visitor_has_to_log_in() -> None:
    with pytest.raises(Unauthenticated):
        ANONYMOUS.require_user()


def test_the_platform_itself_is_told_that_a_token_would_not_help() -> None:
    with pytest.raises(Forbidden, match="system"):
        SYSTEM.require_user()
