"""One trace from the client's request to the mail that follows from it, over three processes."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from topology_rig.people import People

from platform_core.testing import eventually

if TYPE_CHECKING:
    from topology_rig.site import Site

EXPECTED = {
    ("platform-api", "POST /api/v1/users/register"),
    ("platform-api", "command user_management.register_user"),
    ("platform-worker", "deliver notification.user_registered"),
    ("platform-worker", "deliver notification.send_email"),
    ("platform-worker", "smtp notification"),
}


async def test_a_registration_its_event_and_its_mail_are_one_trace(site: Site, people: People) -> None:
    trace = secrets.token_hex(16)
    traceparent = f"00-{trace}-{secrets.token_hex(8)}-01"
    await people.register("eve", headers={"traceparent": traceparent})

    def spans() -> set[tuple[str, str]]:
        return {(span["service"], span["name"]) for span in site.collector.spans(trace)}

    async def complete() -> bool:
        return await asyncio.to_thread(spans) >= EXPECTED

    await eventually(complete, within_seconds=180)
