"""The development gateway: what other tests rely on when they read its ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from orders.domain import NoPaymentGateway, PaymentDeclined, PaymentGatewayAway
from orders.infrastructure.gateway import HttpPaymentGateway, payment_gateway
from orders.settings import OrdersSettings
from orders.testing import ServedGateway
from orders.testing.gateway import DevelopmentGateway
from platform_core.domain import Money
from platform_core.settings import SecretFile

PRICE = Money(Decimal("49.90"), "EUR")


@pytest.fixture
async def client(gateway: ServedGateway) -> AsyncIterator[HttpPaymentGateway]:
    settings = OrdersSettings(PAYMENT_GATEWAY_URL=gateway.url, gateway_timeout_seconds=0.5)
    async with payment_gateway(settings) as made:
        yield made


async def test_whatever_is_asked_twice_happens_once(
    client: HttpPaymentGateway, gateway: ServedGateway
) -> None:
    references = await asyncio.gather(*(client.charge("a", PRICE, "tok_ok") for _ in range(5)))
    assert set(references) == {"pay_a"}
    assert [await client.refund("a") for _ in range(3)] == [True, True, True]
    assert gateway.entries("a") == ["charge", "refund"]
    for _ in range(2):
        with pytest.raises(PaymentDeclined):
            await client.charge("b", PRICE, "tok_declined")
    assert await client.refund("b") is False
    assert gateway.entries("b") == ["decline"]


async def test_a_payment_that_comes_after_its_refund_finds_its_key_closed(
    client: HttpPaymentGateway, gateway: ServedGateway
) -> None:
    """B37: a step that slept through its own compensation."""
    assert await client.refund("a") is False
    with pytest.raises(PaymentDeclined):
        await client.charge("a", PRICE, "tok_ok")
    assert gateway.entries("a") == ["void"]


async def test_an_answer_that_never_came_is_asked_for(
    client: HttpPaymentGateway, gateway: ServedGateway
) -> None:
    gateway.loses_answers = 1
    assert await client.charge("lost", PRICE, "tok_ok") == "pay_lost"
    gateway.slow_seconds = 1
    with pytest.raises(PaymentGatewayAway):
        await client.charge("slow", PRICE, "tok_slow")  # it takes longer than we wait, and knows nothing yet
    await asyncio.sleep(1)
    assert await client.charge("slow", PRICE, "tok_slow") == "pay_slow"
    assert gateway.entries("slow") == ["charge"]


async def test_a_gateway_that_is_away_is_away(client: HttpPaymentGateway, gateway: ServedGateway) -> None:
    with pytest.raises(PaymentGatewayAway):
        await client.charge("a", PRICE, "tok_unreachable")
    gateway.is_away = True
    for attempt in (client.charge("a", PRICE, "tok_ok"), client.refund("a"), client.check()):
        with pytest.raises(PaymentGatewayAway):
            await attempt
    nowhere = OrdersSettings(PAYMENT_GATEWAY_URL="http://127.0.0.1:1")
    async with payment_gateway(nowhere) as unreachable:
        with pytest.raises(PaymentGatewayAway):
            await unreachable.charge("a", PRICE, "tok_ok")
    async with payment_gateway(OrdersSettings()) as none:
        with pytest.raises(NoPaymentGateway):
            none.check_configured()
    assert gateway.ledger == []


def test_the_ledger_survives_a_restart(tmp_path: Path) -> None:
    before = DevelopmentGateway(tmp_path / "ledger")
    before._write("a", "charge", "49.90", "EUR")
    assert DevelopmentGateway(tmp_path / "ledger").ledger == before.ledger


@asynccontextmanager
async def what_is_shown() -> AsyncIterator[tuple[str, list[str]]]:
    """Serve a gateway; yields its host and port, and the credentials of every request."""
    shown: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in request.split("\r\n")[1:] if line)
        shown.append(headers.get("authorization", ""))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", shown


async def test_the_key_is_rotated_without_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mounted = tmp_path / "key"
    async with what_is_shown() as (address, shown):
        settings = OrdersSettings(PAYMENT_GATEWAY_URL=f"http://{address}", gateway_key=SecretFile(mounted))
        async with payment_gateway(settings) as client:
            for attempt in (client.check(), client.charge("a", PRICE, "tok_ok"), client.refund("a")):
                caplog.clear()
                with pytest.raises(PaymentGatewayAway):
                    await attempt
                [line] = caplog.messages
                assert line.startswith("the key of the payment gateway cannot be read: "), "told once"
            for key in ("the first key", "the second key"):
                mounted.write_text(key)
                await client.check()
    assert shown == ["bearer the first key", "bearer the second key"]


async def test_without_a_key_the_credentials_of_the_address_count() -> None:
    async with what_is_shown() as (address, shown):
        settings = OrdersSettings(PAYMENT_GATEWAY_URL=f"http://shop:pw@{address}")  # pragma: allowlist secret
        async with payment_gateway(settings) as client:
            await client.check()
    assert shown == ["basic c2hvcdpwdw=="]
