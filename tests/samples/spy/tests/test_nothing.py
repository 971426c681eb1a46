"""A test that tells the truth."""

import pytest


def test_the_spy_is_harmless() -> None:
    pytest.fail("it is not")
