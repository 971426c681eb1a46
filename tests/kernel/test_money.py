"""Amounts: which are some."""

from __future__ import annotations

from decimal import Decimal

import pytest

from platform_core.domain import Money
from platform_core.errors import InvalidInput
from platform_core.money import DECIMALS, checked


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        ("49.9", "EUR", "49.90"),
        ("5", "JPY", "5"),
        ("5.000", "JPY", "5"),
        ("1.234", "KWD", "1.234"),
        ("1E+3", "USD", "1000.00"),
        ("-0", "EUR", "0.00"),
        ("0E-999999", "EUR", "0.00"),
        ("999999999999.99", "EUR", "999999999999.99"),
    ],
)
def test_an_amount_has_the_decimals_of_its_currency(amount: str, currency: str, shown: str) -> None:
    assert str(checked(Money(Decimal(amount), currency), "budget").amount) == shown


@pytest.mark.parametrize(
    ("amount", "currency", "pointer", "code"),
    [
        ("1", "XXX", "/body/budget/currency", "unknown_currency"),
        ("1", "DEM", "/body/budget/currency", "unknown_currency"),
        ("-0.01", "EUR", "/body/budget/amount", "too_small"),
        ("0.001", "EUR", "/body/budget/amount", "too_many_decimals"),
        ("1.0000000000000000000000000000000000000001", "EUR", "/body/budget/amount", "too_many_decimals"),
        ("0.5", "JPY", "/body/budget/amount", "too_many_decimals"),
        ("1000000000000", "EUR", "/body/budget/amount", "too_large"),
        ("1E+999999", "EUR", "/body/budget/amount", "too_large"),
        ("1E-999999", "EUR", "/body/budget/amount", "too_many_decimals"),
    ],
)
def test_what_is_no_amount_is_refused_where_it_is_wrong(
    amount: str, currency: str, pointer: str, code: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked(Money(Decimal(amount), currency), "budget")
    assert [(error.pointer, error.code) for error in refused.value.fields] == [(pointer, code)]


def test_the_currencies_are_those_of_the_standard() -> None:
    assert len(DECIMALS) > 150
    assert all(len(code) == 3 and code.isupper() for code in DECIMALS)
    assert (DECIMALS["EUR"], DECIMALS["JPY"], DECIMALS["TND"]) == (2, 0, 3)
