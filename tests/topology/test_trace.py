"""One trace from the request to the mail that follows from it, over three processes; and the lines of their logs."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from topology_rig.people import PASSWORD, People
from topology_rig.site import Site

from platform_core.testing import eventually

if TYPE_CHECKING:
    from topology_rig.people import Person

EXPECTED = {
    ("platform-api", "POST /api/v1/users/register"),
    ("platform-api", "command user_management.register_user"),
    ("platform-api", "sql user_management"),
    ("platform-worker", "deliver notification.user_registered"),
    ("platform-worker", "deliver notification.send_email"),
    ("platform-worker", "sql notification"),
    ("platform-worker", "smtp notification"),
}
ENOUGH = 300.0
"""Seconds in which machines that run other things besides have sent a mail and told the collector of it."""


def chain(spans: list[dict[str, Any]], last: str) -> list[str]:
    """Return the names from the first span of a trace down to the one that is called `last`."""
    by_id = {span["span"]: span for span in spans}
    names, span = [], next((span for span in spans if span["name"] == last), None)
    while span is not None:
        names.append(span["name"])
        span = by_id.get(span["parent"])
    return names[::-1]


async def test_a_registration_its_event_and_its_mail_are_one_trace(site: Site, people: People) -> None:
    trace = secrets.token_hex(16)
    traceparent = f"00-{trace}-{secrets.token_hex(8)}-01"
    await people.register("eve", headers={"traceparent": traceparent})

    async def complete() -> bool:
        spans = await asyncio.to_thread(site.collector.spans, trace)
        return {(span["service"], span["name"]) for span in spans} >= EXPECTED

    await eventually(complete, within_seconds=ENOUGH)
    names = chain(site.collector.spans(trace), "smtp notification")
    assert names[:2] == ["POST /api/v1/users/register", "command user_management.register_user"], names
    mailed = ["deliver notification.send_email", "command notification.send_email", "smtp notification"]
    assert names[-3:] == mailed, names


def lines(site: Site) -> Iterator[tuple[str, str]]:
    """Yield every line that a process has written since its start, with its role."""
    for process in site.processes.values():
        for line in process.part.process.output.splitlines():
            yield process.role, line


def secrets_of(site: Site, person: Person) -> dict[str, str]:
    """Return what nobody may read in a log, by what it is."""
    named = {name: value for name, value in site.settings.items() if not name.endswith(("_FILE", "_URL"))}
    hidden = {name: named[name] for name in named if name.endswith(("_KEY", "_PEPPER", "_PASSWORD"))}
    hidden["PLATFORM_USER_MANAGEMENT_SIGNING_KEY"] = hidden["PLATFORM_USER_MANAGEMENT_SIGNING_KEY"].split(
        "\n"
    )[1]
    addresses = [site.primary.url(site.login), site.redis.url]
    hidden |= {f"password in {urlsplit(url).scheme}": urlsplit(url).password or "" for url in addresses}
    return hidden | {"S3": site.s3.secret, "a password": PASSWORD, "a token": person.token}


async def test_logs_are_json_with_the_trace_in_each_process_and_no_secret(site: Site, people: People) -> None:
    trace = secrets.token_hex(16)
    traceparent = f"00-{trace}-{secrets.token_hex(8)}-01"
    eve = await people.register("eve", headers={"traceparent": traceparent})

    async def told() -> bool:
        return {role for role, line in lines(site) if trace in line} >= {"api", "worker"}

    await eventually(told, within_seconds=ENOUGH)
    hidden = secrets_of(site, eve)
    for _, line in lines(site):
        written = json.loads(line)
        assert {"event", "level", "logger", "timestamp"} <= written.keys(), line
        assert [name for name, secret in hidden.items() if secret in line] == [], line
    of_trace = [json.loads(line) for _, line in lines(site) if trace in line]
    assert {line.get("trace_id") for line in of_trace} == {trace}
    assert all(line.get("request_id") for line in of_trace)
