"""The routes: what is asked of each side, and how the runs are taken in turns."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from benchmarks import load
from benchmarks.ground import PASSWORD, PROJECT_ID, TASKS_COUNT, Ground, Person
from benchmarks.load import Figures, Sent
from benchmarks.sides import ALL_SIDES, FLOOR, OURS, Side

SETTLING_SECONDS: Final = 12
"""After its start a process of the platform reads each session from PostgreSQL for ten seconds (decision 0008)."""

UPLOAD_BYTES: Final = 10 * 1024 * 1024

Ask = Callable[[Side, Person, Sequence[Person]], Sent]


@dataclass(frozen=True, slots=True)
class Case:
    """
    One request of the table.

    Attributes:
        must, aim: ratio to the floor at 32 connections.
        sides: who answers it.
        least_seconds: of one run, where a request takes long.
    """

    name: str
    title: str
    ask: Ask
    must: float
    aim: float | None
    sides: tuple[str, ...]
    least_seconds: float = 0


def _headers(side: Side, person: Person) -> dict[str, str]:
    return {"Authorization": f"Bearer {person.token if side.is_ours else person.floor_token}"}


def _get_one(side: Side, person: Person, people: Sequence[Person]) -> Sent:
    return Sent("GET", f"{side.prefix}/users/{person.id}", _headers(side, people[0]))


def _get_page(side: Side, person: Person, people: Sequence[Person]) -> Sent:
    return Sent("GET", f"{side.prefix}/users?limit=20", _headers(side, person))


def _patch(side: Side, person: Person, people: Sequence[Person]) -> Sent:
    headers = _headers(side, person) | {"Content-Type": "application/json", "Idempotency-Key": "patch-%d"}
    return Sent("PATCH", f"{side.prefix}/users/me", headers, json.dumps({"full_name": "Somebody %d"}))


def _post(side: Side, person: Person, people: Sequence[Person]) -> Sent:
    headers = _headers(side, person) | {"Content-Type": "application/json", "Idempotency-Key": "post-%d"}
    name = f"{'ours' if side.is_ours else 'floor'}-%d"
    body = {"email": f"{name}@example.com", "username": name, "full_name": "Somebody New"}
    return Sent("POST", f"{side.prefix}/users", headers, json.dumps(body))


def _get_task(side: Side, person: Person, people: Sequence[Person]) -> Sent:
    task_id = UUID(int=1 + people.index(person) * (TASKS_COUNT // len(people)))
    return Sent("GET", f"{side.prefix}/tasks/{task_id}", _headers(side, person))


def _list_tasks(side: Side, person: Person, people: Sequence[Person]) -> Sent:
    return Sent("GET", f"{side.prefix}/projects/{PROJECT_ID}/tasks?limit=20", _headers(side, person))


def _add_task(side: Side, person: Person, people: Sequence[Person]) -> Sent:
    headers = _headers(side, person) | {"Content-Type": "application/json", "Idempotency-Key": "task-%d"}
    body = {"title": "Task %d", "assignee_id": str(people[0].id)}
    return Sent("POST", f"{side.prefix}/projects/{PROJECT_ID}/tasks", headers, json.dumps(body))


def _upload(side: Side, person: Person, people: Sequence[Person]) -> Sent:
    headers = _headers(side, person) | {"Content-Type": "multipart/form-data; boundary=edge"}
    disposition = 'Content-Disposition: form-data; name="file"; filename="file-%d.txt"'
    start = f"--edge\r\n{disposition}\r\nContent-Type: text/plain\r\n\r\n"
    path = f"{side.prefix}/files/upload"
    return Sent("POST", path, headers, start, filling=UPLOAD_BYTES, ending="\r\n--edge--\r\n")


def _log_in(side: Side, person: Person, people: Sequence[Person]) -> Sent:
    body = json.dumps({"email": person.email, "password": PASSWORD})
    return Sent("POST", f"{side.prefix}/auth/login", {"Content-Type": "application/json"}, body)


CASES: Final = (
    Case("get", "GET one of 10,000 users", _get_one, 0.45, 0.60, ALL_SIDES),
    Case("page", "GET a page of 20 of 10,000", _get_page, 0.50, 0.60, ALL_SIDES),
    Case("patch", "PATCH oneself: row, event, audit, delivery", _patch, 0.35, 0.50, ALL_SIDES),
    Case(
        "post",
        "POST a user: 3 rows, event, audit, delivery, Idempotency-Key",
        _post,
        0.35,
        0.50,
        (FLOOR, OURS),
    ),
    Case("get-task", "GET one of 10,000 tasks", _get_task, 0.45, 0.60, (FLOOR, OURS)),
    Case("tasks", "GET a page of 20 of 10,000 tasks", _list_tasks, 0.50, 0.60, (FLOOR, OURS)),
    Case(
        "post-task",
        "POST a task: row, events, audit, deliveries, Idempotency-Key",
        _add_task,
        0.35,
        0.50,
        (FLOOR, OURS),
    ),
    Case(
        "upload",
        "upload 10 MB: multipart, SHA-256, scan, disk",
        _upload,
        0.80,
        0.90,
        (FLOOR, OURS),
        least_seconds=8,
    ),
    Case("login", "log in (bcrypt 12)", _log_in, 0.97, None, (FLOOR, OURS), least_seconds=20),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """All runs of one case at one number of connections, by side, in the order they were taken."""

    case: Case
    connections: int
    runs: dict[str, list[Figures]]

    def median(self, side: str, figure: str) -> float:
        """Return the median of one figure."""
        values: list[float] = [getattr(run, figure) for run in self.runs[side]]
        return statistics.median(values)

    def ratio(self, side: str, to: str = FLOOR, figure: str = "rate") -> float:
        """Return the median over rounds of `side` to `to`: what slows the machine down slows both."""
        pairs = zip(self.runs[side], self.runs[to], strict=True)
        values: list[float] = [getattr(a, figure) / getattr(b, figure) for a, b in pairs]
        return statistics.median(values)


def measure(
    ground: Ground, sides: Sequence[Side], case: Case, *, connections: int, seconds: float, rounds: int
) -> Measured:
    """Measure one case on every side that answers it, in turns: floor, …, ours, floor, …, ours."""
    seconds = max(seconds, case.least_seconds)
    taking = [side for side in sides if side.name in case.sides]
    files = {side.name: requests_of(ground, side, case) for side in taking}
    for side in taking:  # pools are filled and plans made before anything is looked at
        load.run(side.port, files[side.name], connections=connections, seconds=max(1, case.least_seconds / 2))
    runs: dict[str, list[Figures]] = {side.name: [] for side in taking}
    for _ in range(rounds):
        for side in taking:
            runs[side.name].append(
                load.run(
                    side.port,
                    files[side.name],
                    connections=connections,
                    seconds=seconds,
                    pid=side.process.pid,
                )
            )
    return Measured(case, connections, runs)


def requests_of(ground: Ground, side: Side, case: Case) -> Path:
    """Write one request for each person, and return where."""
    path = ground.home / f"{case.name}-{side.name.replace(' ', '-')}.lua"
    return load.write([case.ask(side, person, ground.people) for person in ground.people], path)
