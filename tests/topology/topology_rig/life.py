"""What goes on while parts die: some write and insist, some read, and everybody remembers what they were told."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from platform_core.testing.chaos import Operation
from platform_core.testing.chaos._oracle import Oracle
from platform_core.testing.chaos._workload import History, Load
from topology_rig.people import People, Person
from topology_rig.site import Site

WRITERS, READERS = 4, 2
SETTLED_SECONDS = 300.0
PAUSE_SECONDS = 0.1
"""
Between two requests of a reader, and two of all writers: they want to be there all the time, not to be a load, and one
address may ask nginx 50 times a second.
"""


CLOSED = ("ReadError", "RemoteProtocolError", "WriteError")
"""
What clients meet now and then who use a connection again just when nginx closes it, because it reloads. Nobody has
done anything for them: they repeat it (RFC 9112, 9.3.1).
"""


@dataclass
class Life:
    """
    Attributes:
        history: of everything that was written.
        answers: of what was read, by status; and the connections that broke, by what broke them.
        slowest_seconds: of what was read.
    """

    site: Site
    history: History
    answers: Counter[str] = field(default_factory=Counter)
    slowest_seconds: float = 0.0
    _since: tuple[Counter[str], Counter[str], int] = field(default_factory=lambda: (Counter(), Counter(), 0))

    @property
    def written(self) -> int:
        """How many writes were acknowledged so far."""
        return len(self.history.acknowledged)

    async def goes_on(self, count: int = 10) -> float:
        """Wait until so many more writes are acknowledged; returns the seconds that took."""
        began, wanted = time.monotonic(), self.written + count
        while self.written < wanted:
            assert time.monotonic() < began + SETTLED_SECONDS, f"nothing is acknowledged: {self.seen()}"
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    def look_from_here(self) -> None:
        """Count from now on what `seen` tells."""
        self._since = (self.answers.copy(), self.history.refusals.copy(), self.written)
        self.slowest_seconds = self.history.slowest_seconds = 0.0

    def seen(self) -> dict[str, Any]:
        """Return what clients met since `look_from_here`."""
        answers, refusals, written = self._since
        return {
            "read": dict(self.answers - answers),
            "written": self.written - written,
            "refused": dict(self.history.refusals - refusals),
            "slowest read, s": round(self.slowest_seconds, 2),
            "slowest write, s": round(self.history.slowest_seconds, 2),
        }

    def only(self, *allowed: str) -> None:
        """Nobody who read or wrote met anything else but success, and what is allowed."""
        seen = self.seen()
        assert set(seen["read"]) <= {"200", *allowed}, seen
        assert set(seen["refused"]) <= set(allowed), seen

    async def check(self) -> None:
        """Compare what everybody was told with what is there, once nothing is under way any more."""

        async def sql(statement: str, **values: Any) -> list[dict[str, Any]]:
            return await asyncio.to_thread(lambda: self.site.primary.ask(statement, **values))

        oracle = Oracle(sql, self.history, {})
        settled = await oracle.settled(within_seconds=SETTLED_SECONDS)
        findings = await oracle.findings()
        assert findings == [], "\n".join(findings[:20])
        assert settled is not None, "deliveries are pending, or lines of the trail without their link"


@contextlib.asynccontextmanager
async def life(people: People, directory: Path) -> AsyncIterator[Life]:
    """Go on for the length of the block; what it leaves is checked by `Life.check`."""
    eve, ben = await people.register("eve"), await people.register("ben")
    project = await eve.post("/projects", json={"name": "A house"})
    post = await eve.post("/posts", json={"title": "Begun", "body": "Here."})
    living = Life(people.site, History(directory / f"clients-{secrets.token_hex(3)}.jsonl"))
    over = asyncio.Event()
    load = Load(
        [people.site.front.url],
        lambda number: _operation(number, [eve, ben], project["id"]),
        living.history,
        clients_count=WRITERS,
        tag=secrets.token_hex(3),
        tls=people.site.front.certificates,
        pause_seconds=PAUSE_SECONDS,
    )
    paths = ["/users/me", f"/posts/{post['id']}", f"/projects/{project['id']}", "/notifications"]
    writing = asyncio.create_task(load.run(1, until=over.is_set))
    reading = [asyncio.create_task(_read(living, people, eve, paths, over)) for _ in range(READERS)]
    try:
        await living.goes_on()
        living.look_from_here()
        yield living
    finally:
        over.set()
        await asyncio.gather(writing, *reading)
        living.history.close()


async def _read(
    living: Life, people: People, person: Person, paths: Sequence[str], over: asyncio.Event
) -> None:
    client = await people.visitor(dict(person.client.headers))
    turn = 0
    while not over.is_set():
        turn += 1
        began = time.monotonic()
        try:
            answer = await client.get(paths[turn % len(paths)])
            living.answers[str(answer.status_code)] += 1
        except httpx2.HTTPError as error:
            living.answers[type(error).__name__] += 1
        living.slowest_seconds = max(living.slowest_seconds, time.monotonic() - began)
        await asyncio.sleep(PAUSE_SECONDS)


def _operation(number: int, persons: Sequence[Person], project: str) -> Operation:
    """One in four makes a task for somebody, one in twenty changes a profile, the rest begin posts."""
    person = persons[number % len(persons)]
    headers = {"Authorization": f"Bearer {person.token}"}
    match number % 4:
        case 1:
            return Operation(
                path=f"/api/v1/projects/{project}/tasks",
                body={"title": f"Brick {number}", "assignee_id": persons[0].id},
                headers={"Authorization": f"Bearer {persons[0].token}"},
                command="project_management.create_task",
                events=["project_management.task_created"],
                table="project_management.tasks",
            )
        case 3 if number % 20 == 3:  # seldom: what happens to one person is worked off one after the other
            return Operation(
                method="PATCH",
                path="/api/v1/users/me",
                body={"full_name": f"Person of {number}"},
                headers=headers,
                command="user_management.update_me",
            )
        case _:
            return Operation(
                path="/api/v1/posts",
                body={"title": f"Note {number}", "body": "Something *happened*."},
                headers=headers,
                command="posts.create_post",
                events=["posts.post_created"],
                table="posts.posts",
            )
