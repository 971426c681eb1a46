"""
A payment gateway for development and tests: it moves no money, and its ledger tells what it would have moved.

`platform dev` serves it where `PAYMENT_GATEWAY_URL` is not set. By itself, on a port of your choice:

    python -m uvicorn orders.testing.gateway:app --port 9000

| token | what happens |
|---|---|
| `tok_ok` and any other | paid |
| `tok_declined` | 402 |
| `tok_slow` | paid, after ten seconds, whether or not anybody still waits |
| `tok_unreachable` | 503, and nothing is paid |

Asked twice under one key it answers as the first time. A key that was refunded before anything was paid under it is
void: a payment that comes late finds it closed. `GET /ledger` shows every entry.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

SLOW_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Entry:
    """
    A line of the ledger.

    Attributes:
        key: that the caller chose for the payment.
        kind: `charge`, `decline`, `refund`, or `void`: nothing was paid under this key, and nothing will be.
        amount: exact, as text; of a refund the same as of its charge.
    """

    key: str
    kind: str
    amount: str
    currency: str
    at: str


class DevelopmentGateway:
    """
    Keeps the ledger and answers for it.

    Args:
        directory: where the ledger survives a restart; None keeps it in memory.

    Attributes:
        app: the ASGI application.
        ledger: every entry, in order.
        asked: the key of every payment that somebody wanted, as often as they did.
        is_away: everything is answered by 503.
        loses_answers: so many payments more are taken and then answered by 500.
        refuses_refunds: so many refunds more are answered by 503, and nothing is given back.
        slow_seconds: how long `tok_slow` takes.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._path = directory / "ledger.jsonl" if directory else None
        self.ledger: list[Entry] = _load(self._path)
        self.asked: list[str] = []
        self.is_away = False
        self.loses_answers = 0
        self.refuses_refunds = 0
        self.slow_seconds = SLOW_SECONDS
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self.app = Starlette(
            routes=[
                Route("/", self._hello),
                Route("/charges", self._charge, methods=["POST"]),
                Route("/charges/{key}", self._look),
                Route("/refunds", self._refund, methods=["POST"]),
                Route("/ledger", self._show),
            ]
        )

    def entries(self, key: str) -> list[str]:
        """Return the kinds of a payment's entries, in order."""
        return [entry.kind for entry in self.ledger if entry.key == key]

    async def _hello(self, _request: Request) -> Response:
        return self._away() or JSONResponse({"name": "development payment gateway"})

    async def _charge(self, request: Request) -> Response:
        key, body = request.headers.get("Idempotency-Key"), await request.json()
        if key is None:
            return JSONResponse({"problem": "a payment needs an Idempotency-Key"}, 400)
        self.asked.append(key)
        if self.is_away or body["token"] == "tok_unreachable":  # noqa: S105  # no secret, a word of this program
            return JSONResponse({"problem": "the bank does not answer"}, 503)
        if key not in self._under_way and not self.entries(key):
            # a task of its own: whoever hangs up does not stop it
            self._under_way[key] = asyncio.create_task(self._settle(key, body))
        if key in self._under_way:
            await asyncio.shield(self._under_way[key])
        if self.loses_answers and self.entries(key) == ["charge"]:
            self.loses_answers -= 1
            return JSONResponse({"problem": "an answer was lost"}, 500)
        return self._state(key, 201)

    async def _settle(self, key: str, body: dict[str, Any]) -> None:
        try:
            if body["token"] == "tok_slow":  # noqa: S105  # as above
                await asyncio.sleep(self.slow_seconds)
            if not self.entries(key):  # refunded meanwhile, it is void
                declined = body["token"] == "tok_declined"  # noqa: S105  # as above
                self._write(key, "decline" if declined else "charge", body["amount"], body["currency"])
        finally:
            self._under_way.pop(key, None)

    async def _look(self, request: Request) -> Response:
        return self._away() or self._state(request.path_params["key"], 200)

    async def _refund(self, request: Request) -> Response:
        key = (await request.json())["charge"]
        if self.refuses_refunds:
            self.refuses_refunds -= 1
            return JSONResponse({"problem": "refunds are closed for today"}, 503)
        if away := self._away():
            return away
        kinds = self.entries(key)
        if kinds == ["charge"]:
            [charge] = [entry for entry in self.ledger if entry.key == key]
            self._write(key, "refund", charge.amount, charge.currency)
        elif not kinds:
            self._write(key, "void", "0", "")
        refunded = self.entries(key) == ["charge", "refund"]
        return JSONResponse({"status": "refunded" if refunded else "nothing_to_refund"}, 201)

    async def _show(self, _request: Request) -> Response:
        return JSONResponse([asdict(entry) for entry in self.ledger])

    def _state(self, key: str, created: int) -> Response:
        kinds = self.entries(key)
        if not kinds:
            return JSONResponse({"problem": "there is no such payment"}, 404)
        if kinds[0] == "charge":
            return JSONResponse({"status": "paid", "reference": f"pay_{key}"}, created)
        status = {"decline": "declined", "void": "void"}[kinds[0]]
        return JSONResponse({"status": status}, 402 if created == 201 else 200)

    def _away(self) -> Response | None:
        return JSONResponse({"problem": "closed"}, 503) if self.is_away else None

    def _write(self, key: str, kind: str, amount: str, currency: str) -> None:
        entry = Entry(key, kind, amount, currency, datetime.now(UTC).isoformat())
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(entry)) + "\n")
        self.ledger.append(entry)


def _load(path: Path | None) -> list[Entry]:
    if path is None or not path.exists():
        return []
    return [Entry(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


app = DevelopmentGateway().app
