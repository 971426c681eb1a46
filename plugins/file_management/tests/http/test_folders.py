"""Folders: a tree for each owner."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

from file_management.testing import upload
from platform_core.testing import RunningPlatform
from user_management.testing import Account

FOLDERS = "/api/v1/folders"


async def folder(person: Account, name: str, parent: dict[str, Any] | None = None) -> dict[str, Any]:
    body = {"name": name} if parent is None else {"name": name, "parent_id": parent["id"]}
    answer = await person.client.post(FOLDERS, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def names_in(person: Account, where: str) -> list[tuple[str, str]]:
    items = (await person.client.get(f"{FOLDERS}/{where}/children")).json()["items"]
    return [(item["kind"], item[item["kind"]]["name"]) for item in items]


async def test_what_lies_in_a_folder_is_listed_folders_first_page_by_page(eve: Account) -> None:
    top = await folder(eve, "top")
    for name in ("b", "a"):
        await folder(eve, name, top)
    for name in ("z.txt", "y.txt"):
        await upload(eve.client, name, folder_id=top["id"])
    await upload(eve.client, "root.txt")
    expected = [("folder", "a"), ("folder", "b"), ("file", "y.txt"), ("file", "z.txt")]
    assert await names_in(eve, top["id"]) == expected
    assert await names_in(eve, "root") == [("folder", "top"), ("file", "root.txt")]
    seen, cursor = [], None
    while True:
        params = {"limit": "1"} | ({"cursor": cursor} if cursor else {})
        page = (await eve.client.get(f"{FOLDERS}/{top['id']}/children", params=params)).json()
        seen += [(item["kind"], item[item["kind"]]["name"]) for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == expected


async def test_a_folder_name_is_there_once_beside_its_siblings(eve: Account, ben: Account) -> None:
    top = await folder(eve, "a")
    for body in ({"name": "a"}, {"name": "\u0061"}):
        answer = await eve.client.post(FOLDERS, json=body)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/folder-name-taken")
    await folder(eve, "a", top)
    await folder(ben, "a")
    await upload(eve.client, "a")  # nothing is found by a path, so a file may be called the same
    assert sorted(await names_in(eve, "root")) == [("file", "a"), ("folder", "a")]
    for name in ("", "a/b", "..", "x" * 256, "a\u0000b"):
        assert (await eve.client.post(FOLDERS, json={"name": name})).status_code == 422, name


async def test_of_twenty_at_once_one_gets_the_name(eve: Account) -> None:
    answers = await asyncio.gather(*(eve.client.post(FOLDERS, json={"name": "a"}) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19


async def test_a_folder_moves_with_what_is_in_it_but_not_into_itself(eve: Account) -> None:
    top, other = await folder(eve, "top"), await folder(eve, "other")
    below = await folder(eve, "below", top)
    deep = await folder(eve, "deep", below)
    for target in (top, below, deep):
        answer = await eve.client.patch(f"{FOLDERS}/{top['id']}", json={"parent_id": target["id"]})
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/folder-inside-itself")
    moved = await eve.client.patch(f"{FOLDERS}/{below['id']}", json={"parent_id": other["id"], "name": "b"})
    assert (moved.json()["parent_id"], moved.json()["name"]) == (other["id"], "b")
    assert await names_in(eve, other["id"]) == [("folder", "b")]
    up = await eve.client.patch(f"{FOLDERS}/{deep['id']}", json={"parent_id": None})
    assert up.json()["parent_id"] is None
    assert (
        await eve.client.patch(f"{FOLDERS}/{up.json()['id']}", json={"parent_id": str(uuid4())})
    ).status_code == 404


async def test_two_moves_at_once_make_no_circle(p: RunningPlatform, eve: Account) -> None:
    for round_ in range(5):
        one, two = await folder(eve, f"one {round_}"), await folder(eve, f"two {round_}")
        answers = await asyncio.gather(
            eve.client.patch(f"{FOLDERS}/{one['id']}", json={"parent_id": two["id"]}),
            eve.client.patch(f"{FOLDERS}/{two['id']}", json={"parent_id": one["id"]}),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_a_deleted_folder_takes_everything_in_it_along(eve: Account) -> None:
    top = await folder(eve, "top")
    below = await folder(eve, "below", top)
    file = await upload(eve.client, folder_id=below["id"])
    assert (await eve.client.delete(f"{FOLDERS}/{top['id']}")).status_code == 204
    for gone in (top, below):
        assert (await eve.client.get(f"{FOLDERS}/{gone['id']}")).status_code == 404
    assert (await eve.client.get(f"/api/v1/files/{file['id']}")).status_code == 404
    assert await names_in(eve, "root") == []
    await folder(eve, "top")


async def test_nobody_sees_or_uses_the_folders_of_others(eve: Account, ben: Account) -> None:
    hers = await folder(eve, "hers")
    path = f"{FOLDERS}/{hers['id']}"
    for method, url, body in (
        ("GET", path, None),
        ("GET", f"{path}/children", None),
        ("PATCH", path, {"name": "mine"}),
        ("PATCH", path, {"nonsense": 1}),
        ("DELETE", path, None),
        ("POST", FOLDERS, {"name": "x", "parent_id": hers["id"]}),
    ):
        answer = await ben.client.request(method, url, **({} if body is None else {"json": body}))
        assert answer.status_code == 404, (method, url)
    answer = await ben.client.post(
        "/api/v1/files/upload", files={"file": ("a", b"")}, data={"folder_id": hers["id"]}
    )
    assert answer.status_code == 404
    assert await names_in(ben, "root") == []
