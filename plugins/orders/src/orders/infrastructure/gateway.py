"""Payments over HTTP; `orders.testing.gateway` speaks the other side of it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from orders.domain import NoPaymentGateway, PaymentDeclined, PaymentGatewayAway
from orders.settings import OrdersSettings
from platform_core.domain import Money

if TYPE_CHECKING:
    import httpx2

_log = logging.getLogger(__name__)

_CONNECT_SECONDS: Final = 2.0
_ASK_SECONDS: Final = 3.0
"""Asking what became of a payment is quick, or the gateway is away."""


class HttpPaymentGateway:
    """
    Speaks to the gateway at `PAYMENT_GATEWAY_URL`.

        POST /charges {amount, currency, token}, Idempotency-Key: KEY   → 201 {reference}, or 402: declined
        GET  /charges/KEY                                               → 200 {status, reference}, or 404: unknown
        POST /refunds {charge: KEY}, Idempotency-Key: refund-KEY        → 201 {status: refunded | nothing_to_refund}

    An answer that never came, or that says neither yes nor no, leaves open what happened: it is asked for by its key.

    Args:
        client: None where no gateway is configured.
    """

    def __init__(self, client: httpx2.AsyncClient | None) -> None:
        self._client = client

    def check_configured(self) -> None:
        self._configured()

    async def charge(self, key: str, price: Money, token: str) -> str:
        body = {"amount": str(price.amount), "currency": price.currency, "token": token}
        answer = await self._post("/charges", body, key)
        if answer is None or answer.status_code not in (201, 402):
            answer = await self._ask(f"/charges/{key}")
        if answer.status_code == 402:
            raise PaymentDeclined
        said = _json(answer)
        if answer.status_code in (200, 201) and said.get("status") == "paid":
            return str(said["reference"])
        if said.get("status") in ("declined", "void"):
            raise PaymentDeclined
        raise PaymentGatewayAway  # it never heard of the payment, so the next attempt makes it

    async def refund(self, key: str) -> bool:
        answer = await self._post("/refunds", {"charge": key}, f"refund-{key}")
        if answer is None or answer.status_code != 201:
            raise PaymentGatewayAway
        return bool(_json(answer).get("status") == "refunded")

    async def check(self) -> str | None:
        """Tell whether the gateway answers; raises when it does not."""
        await self._ask("/")
        return None

    async def _post(self, path: str, body: dict[str, str], key: str) -> httpx2.Response | None:
        """Return what it answered; None when nobody knows what it did."""
        from httpx2 import TransportError

        client = self._configured()
        try:
            answer = await client.post(path, json=body, headers={"Idempotency-Key": key})
        except TransportError:
            return None
        return answer

    async def _ask(self, path: str) -> httpx2.Response:
        from httpx2 import TransportError

        try:
            answer = await self._configured().get(path, timeout=_ASK_SECONDS)
        except TransportError as error:
            raise PaymentGatewayAway from error
        if answer.status_code >= 500:
            raise PaymentGatewayAway
        return answer

    def _configured(self) -> httpx2.AsyncClient:
        if self._client is None:
            raise NoPaymentGateway
        return self._client


@asynccontextmanager
async def payment_gateway(settings: OrdersSettings) -> AsyncIterator[HttpPaymentGateway]:
    """Keep connections to the gateway for as long as the process runs."""
    if settings.gateway_url is None:
        yield HttpPaymentGateway(None)
        return
    import httpx2  # only where there is a gateway: a process without one starts sooner

    secret = settings.gateway_key

    def authorize(request: httpx2.Request) -> httpx2.Request:
        assert secret is not None  # noqa: S101  # it is what this is called for
        try:
            key = secret.get_secret_value()  # anew each time, so that it rotates without a restart
        except OSError as error:  # it may just be replaced; nothing was sent
            _log.warning("the key of the payment gateway cannot be read: %s", error)
            raise PaymentGatewayAway from error
        request.headers["Authorization"] = f"Bearer {key}"
        return request

    timeout = httpx2.Timeout(settings.gateway_timeout_seconds, connect=_CONNECT_SECONDS)
    # without a key, credentials in the URL count, which an `auth` of the client would switch off
    auth = authorize if secret is not None else None
    async with httpx2.AsyncClient(
        base_url=settings.gateway_url, auth=auth, timeout=timeout, trust_env=False
    ) as client:
        yield HttpPaymentGateway(client)


def _json(answer: httpx2.Response) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
