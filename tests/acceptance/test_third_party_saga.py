"""
A saga that was written outside of the repository, from docs/sagas.md alone: pip brings it, and the kernel is as it was.

Its own tests pass where it is installed; then real processes take its steps, and take them back.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import psycopg
import pytest

from platform_core.testing import RunningProcess

if TYPE_CHECKING:
    from conftest import Machine

pytestmark = pytest.mark.long

PASSWORD = "a long enough sentence"


@pytest.fixture(scope="module")
def machine(new_machine: Callable[[str], Machine], samples: Path) -> Machine:
    machine = new_machine("third-party-saga")
    machine.install(machine.build(samples / "trips"))
    return machine


def test_the_modules_own_tests_pass_where_it_is_installed(machine: Machine) -> None:
    source = machine.home / "source" / "trips"
    done = subprocess.run(
        [machine.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(source)],
        cwd=source,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_real_processes_take_its_steps_and_take_them_back(
    machine: Machine, services: Mapping[str, str], address: Callable[[RunningProcess], str]
) -> None:
    machine.settings = {**services}
    machine.platform("db", "upgrade")
    machine.platform("seed", "--essential-only")
    with machine.start("serve") as api, machine.start("worker"):
        with httpx2.Client(base_url=f"{address(api)}/api/v1", timeout=30, trust_env=False) as client:
            eve, mia, admin = (_logged_in(client, name) for name in ("eve", "mia", "admin"))
            course = {"title": "Maps", "price": {"amount": "49.90", "currency": "EUR"}, "capacity": 1}
            made = client.post("/courses", json=course, headers=admin)
            assert made.status_code == 201, made.text
            trip = {"course_id": made.json()["id"], "destination": "Rome"}

            nowhere = client.post("/trips", json=trip | {"destination": "nowhere"}, headers=eve)
            assert (nowhere.status_code, nowhere.json()["type"]) == (409, "/problems/no-flight")
            booked = client.post("/trips", json=trip, headers=eve)
            assert (booked.status_code, booked.json()["status"]) == (201, "completed")
            full = client.post("/trips", json=trip, headers=mia)
            assert (full.status_code, full.json()["type"]) == (409, "/problems/course-full")
    listed = json.loads(machine.platform("sagas", "list", "--json").stdout)
    booking = [saga["status"] for saga in listed if saga["name"] == "trips.booking"]
    assert booking == ["compensated", "completed", "compensated"]
    with psycopg.connect(services["DATABASE_URL"]) as connection:
        flights = connection.execute("SELECT count(flight) FROM trips.trips").fetchall()
    assert flights == [(1,)]


def _logged_in(client: httpx2.Client, name: str) -> dict[str, str]:
    """Return the headers of somebody, who registers where they are not the administrator."""
    who = {"email": f"{name}@example.com", "password": PASSWORD}
    if name != "admin":
        registered = client.post("/users/register", json={**who, "username": name})
        assert registered.status_code == 201, registered.text
    answer = client.post("/auth/login", json=who)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}
