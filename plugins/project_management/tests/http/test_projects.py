"""Projects over HTTP: what is made, read, changed and deleted, and what their money does."""

from __future__ import annotations

from typing import Any

import pytest

from platform_core.testing import RunningPlatform
from project_management import ProjectCreated, ProjectDeleted, ProjectStatusChanged, ProjectUpdated
from project_management.testing import add_member, make_project, make_task, record_expense
from user_management.testing import Account

API = "/api/v1"


def eur(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


async def test_a_project_is_made_read_listed_changed_and_deleted(p: RunningPlatform, eve: Account) -> None:
    made = await make_project(
        eve.client,
        description="All of it",
        budget=eur("1000.00"),
        start_date="2026-01-01",
        end_date="2026-12-31",
    )
    assert {
        name: value for name, value in made.items() if name not in ("id", "created_at", "updated_at")
    } == {
        "name": "House and garden",
        "description": "All of it",
        "status": "active",
        "owner_id": str(eve.id),
        "budget": eur("1000.00"),
        "budget_spent": eur("0.00"),
        "progress": 0.0,
        "start_date": "2026-01-01",
        "end_date": "2026-12-31",
    }
    path = f"{API}/projects/{made['id']}"
    assert (await eve.client.get(path)).json() == made
    assert (await eve.client.get(f"{API}/projects")).json() == {"items": [made], "next_cursor": None}
    changed = await eve.client.patch(path, json={"status": "on_hold", "description": None, "name": "House"})
    assert changed.status_code == 200
    assert changed.json()["status"] == "on_hold"
    assert changed.json()["description"] is None
    assert (await eve.client.get(path)).json() == changed.json()
    assert (await eve.client.delete(path)).status_code == 204
    assert (await eve.client.get(path)).status_code == 404
    assert (await eve.client.get(f"{API}/projects")).json()["items"] == []
    for kind in (ProjectCreated, ProjectUpdated, ProjectStatusChanged, ProjectDeleted):
        assert len(await p.events(kind)) == 1, kind


async def test_a_description_from_before_there_was_a_rule_stays_and_stops_no_other_change(
    p: RunningPlatform, eve: Account
) -> None:
    path = f"{API}/projects/{(await make_project(eve.client))['id']}"
    for stored in (" ", "bell\x07", " with space around "):
        await p.sql("UPDATE project_management.projects SET description = %(text)s", text=stored)
        changed = await eve.client.patch(path, json={"end_date": f"2026-12-{10 + len(stored)}"})
        assert (changed.status_code, changed.json()["description"]) == (200, stored), changed.text
    assert [event.fields for event in await p.events(ProjectUpdated)] == [["end_date"]] * 3
    refused = await eve.client.patch(path, json={"description": "another\x07"})
    assert refused.json()["errors"][0]["pointer"] == "/body/description"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": ""}, "/body/name"),
        ({"name": "   "}, "/body/name"),
        ({"name": "x" * 201}, "/body/name"),
        ({}, "/body/name"),
        ({"name": "x", "description": "\u200b"}, "/body/description"),
        ({"name": "x", "status": "active"}, "/body/status"),
        ({"name": "x", "start_date": "2026-02-01", "end_date": "2026-01-31"}, "/body/end_date"),
        ({"name": "x", "start_date": "tomorrow"}, "/body/start_date"),
        ({"name": "x", "budget": eur("-1")}, "/body/budget/amount"),
        ({"name": "x", "budget": eur("1.001")}, "/body/budget/amount"),
        ({"name": "x", "budget": eur("1e99")}, "/body/budget/amount"),
        ({"name": "x", "budget": eur("NaN")}, "/body/budget"),
        ({"name": "x", "budget": {"amount": "1", "currency": "XYZ"}}, "/body/budget/currency"),
        ({"name": "x", "budget": {"amount": "1", "currency": "eur"}}, "/body/budget"),
        ({"name": "x", "budget": eur("1") | {"cents": 5}}, "/body/budget/cents"),
    ],
)
async def test_what_is_no_project_is_422(eve: Account, body: dict[str, Any], pointer: str) -> None:
    answer = await eve.client.post(f"{API}/projects", json=body)
    assert answer.status_code == 422, answer.text
    assert any(error["pointer"].startswith(pointer) for error in answer.json()["errors"]), answer.text


async def test_a_change_is_checked_against_what_stays(eve: Account) -> None:
    project = await make_project(eve.client, start_date="2026-03-01", end_date="2026-04-01")
    path = f"{API}/projects/{project['id']}"
    assert (await eve.client.patch(path, json={"end_date": "2026-02-01"})).status_code == 422
    moved = {"start_date": "2026-01-01", "end_date": "2026-02-01"}
    assert (await eve.client.patch(path, json=moved)).status_code == 200
    assert (await eve.client.patch(path, json={"status": "gone"})).status_code == 422
    assert (await eve.client.patch(path, json={"owner_id": str(eve.id)})).status_code == 422


async def test_what_is_spent_is_summed_exactly_and_in_one_currency(eve: Account) -> None:
    project = await make_project(eve.client)
    path = f"{API}/projects/{project['id']}"
    assert (project["budget"], project["budget_spent"]) == (None, None)
    for amount in ("0.10", "0.20", "49.90"):
        await record_expense(eve.client, project, amount)
    expected = eur("50.20")
    assert (await eve.client.get(path)).json()["budget_spent"] == expected
    other = {"amount": {"amount": "1", "currency": "USD"}, "note": "x", "spent_on": "2026-11-23"}
    refused = await eve.client.post(f"{path}/expenses", json=other)
    assert refused.status_code == 422
    assert refused.json()["type"] == "/problems/currency-mismatch"
    assert refused.json()["errors"][0]["pointer"] == "/body/amount/currency"
    dollars = await eve.client.patch(path, json={"budget": {"amount": "5", "currency": "USD"}})
    assert dollars.status_code == 422
    assert dollars.json()["type"] == "/problems/budget-currency-fixed"
    euros = await eve.client.patch(path, json={"budget": eur("5")})
    assert (euros.json()["budget"], euros.json()["budget_spent"]) == (eur("5.00"), expected)
    assert (await eve.client.patch(path, json={"budget": None})).json()["budget_spent"] == expected
    listed = (await eve.client.get(f"{path}/expenses")).json()["items"]
    assert [one["amount"]["amount"] for one in listed] == ["49.90", "0.20", "0.10"]


async def test_a_budget_may_change_its_currency_until_money_was_spent(eve: Account) -> None:
    project = await make_project(eve.client, budget=eur("5"))
    yen = {"amount": "500", "currency": "JPY"}
    changed = await eve.client.patch(f"{API}/projects/{project['id']}", json={"budget": yen})
    assert (changed.json()["budget"], changed.json()["budget_spent"]["amount"]) == (yen, "0")


async def test_progress_is_the_share_of_the_done(eve: Account) -> None:
    project = await make_project(eve.client)
    tasks = [await make_task(eve.client, project) for _ in range(5)]
    for task, ways in zip(tasks, (["in_progress", "done"], ["in_progress"], ["cancelled"], []), strict=False):
        for status in ways:
            answer = await eve.client.patch(f"{API}/tasks/{task['id']}", json={"status": status})
            assert answer.status_code == 200
    await eve.client.delete(f"{API}/tasks/{tasks[4]['id']}")
    read = (await eve.client.get(f"{API}/projects/{project['id']}")).json()
    assert read["progress"] == pytest.approx(1 / 3), "one of three; one is cancelled, one deleted"
    [listed] = (await eve.client.get(f"{API}/projects")).json()["items"]
    assert listed == read


async def test_a_list_shows_what_one_is_in_page_by_page(eve: Account, ben: Account) -> None:
    names = [f"P{number}" for number in range(5)]
    projects = [await make_project(eve.client, name=name) for name in names]
    await make_project(ben.client, name="somebody else's")
    await add_member(eve.client, projects[1], ben.id, "viewer")
    seen: list[str] = []
    url: str | None = f"{API}/projects?limit=2"
    while url:
        page = await eve.client.get(url)
        seen += [one["name"] for one in page.json()["items"]]
        cursor = page.json()["next_cursor"]
        url = f"{API}/projects?limit=2&cursor={cursor}" if cursor else None
    assert seen == names[::-1]
    theirs = (await ben.client.get(f"{API}/projects")).json()["items"]
    assert [one["name"] for one in theirs] == ["somebody else's", "P1"]


async def test_a_stale_if_match_is_412_and_the_fresh_one_works(eve: Account) -> None:
    project = await make_project(eve.client)
    path = f"{API}/projects/{project['id']}"
    tag = (await eve.client.get(path)).headers["etag"]
    assert (await eve.client.get(path, headers={"If-None-Match": tag})).status_code == 304
    fresh = await eve.client.patch(path, json={"name": "A"}, headers={"If-Match": tag})
    assert fresh.status_code == 200
    stale = await eve.client.patch(path, json={"name": "B"}, headers={"If-Match": tag})
    assert stale.status_code == 412
    assert (await eve.client.delete(path, headers={"If-Match": tag})).status_code == 412


async def test_a_repeated_post_with_its_key_is_one_project(eve: Account) -> None:
    key = {"Idempotency-Key": "once"}
    first = await eve.client.post(f"{API}/projects", json={"name": "A"}, headers=key)
    again = await eve.client.post(f"{API}/projects", json={"name": "A"}, headers=key)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert len((await eve.client.get(f"{API}/projects")).json()["items"]) == 1
