"""
Amounts as they may be priced, budgeted and spent: in a currency that exists, no finer than it is.

`Money` itself is in `platform_core.domain`; contracts and domains of plugins may import both.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from platform_core.domain import Money
from platform_core.errors import FieldError, InvalidInput

__all__ = ["DECIMALS", "checked", "exact"]

_BY_DECIMALS: Final[Mapping[int, str]] = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF"
    " CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG"
    " HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR"
    " MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD"
    " SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG"
    " YER ZAR ZMW ZWG",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
"""ISO 4217, list one: decimals of the minor unit → codes; metals and test codes, which have none, are left out."""

DECIMALS: Final[Mapping[str, int]] = {
    code: decimals for decimals, codes in _BY_DECIMALS.items() for code in codes.split()
}

_WHOLE_DIGITS: Final = 12


def exact(amount: Decimal, currency: str) -> Money:
    """Return money with as many decimals as its currency has: 5 → 5.00 EUR, or 5 JPY."""
    return Money(amount.quantize(Decimal(1).scaleb(-DECIMALS[currency])), currency)


def checked(money: Money, field: str, *, above_zero: bool = False) -> Money:
    """
    Return money if it is some.

    Args:
        field: where it came from, such as `budget`.
        above_zero: nothing is too little.

    Raises:
        InvalidInput: no such currency; less than nothing; finer than the currency; more than 12 digits
            before the point.
    """
    decimals = DECIMALS.get(money.currency)
    if decimals is None:
        raise _refused(
            f"{field}/currency", f"{money.currency} is no currency of ISO 4217", "unknown_currency"
        )
    amount = money.amount
    if amount < 0 or (above_zero and not amount):
        wanted = "more than 0" if above_zero else "0 or more"
        raise _refused(f"{field}/amount", f"an amount here is {wanted}", "too_small")
    # by digits, not by value: 1E+999999 must not be written out
    if amount and amount.adjusted() >= _WHOLE_DIGITS:
        raise _refused(f"{field}/amount", f"takes {_WHOLE_DIGITS} digits before the point", "too_large")
    rounded = exact(amount if amount else Decimal(0), money.currency)
    if rounded.amount != amount:
        message = f"{money.currency} has {decimals} digits after the point"
        raise _refused(f"{field}/amount", message, "too_many_decimals")
    return rounded


def _refused(field: str, message: str, code: str) -> InvalidInput:
    return InvalidInput(
        f"{field.replace('/', '.')}: {message}", fields=[FieldError(f"/body/{field}", message, code)]
    )
