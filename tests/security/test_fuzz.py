"""
Row 76: requests that a generator invents from `/openapi.json`, and answers that keep what it promises.

Every operation of every shipped module gets them from an administrator, a member and a stranger, and most of them name
things that are there. A quarter of the operations, with few cases, is a part of the tests; `uv run nox -s fuzz` has all
of them, with fifty cases of each kind; `-- --cases 500` is for a night.
"""

import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attacks import API, document, operations
from schemathesis import GenerationMode, checks, openapi

from courses.testing import make_course
from file_management.testing import begin_upload, make_folder, upload
from notification.testing import announce, register_device, write_template
from orders.testing import buy, running_gateway
from platform_core._conformance.invented import aimed, invented, poisoned, request_of
from platform_core.testing import PlatformFactory, RunningPlatform
from posts.testing import make_post
from project_management.testing import add_comment, make_project, make_task
from user_management.testing import PASSWORD, Account, essentials, log_in, make_role, sign_up

SHIPPED = sorted(path.parent.name for path in Path(__file__).parents[2].glob("plugins/*/pyproject.toml"))

CASES_COUNT = 2
"""Of each kind for each operation that is tried, unless `--cases` says otherwise."""

TRIED_SHARE = 0.25
"""Of the operations, drawn anew in each run that says nothing of `--cases`: the whole is the session `fuzz`."""

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]

ENDING = {"/api/v1/auth/logout", "/api/v1/users/me/password", "/api/v1/users/me"}
"""A good request to these ends what others are sent with, so each of theirs gets a login of its own."""


KNOWN = {
    "kind": "user_management.password_reset_requested",
    "channel": "email",
    "locale": "de",
    "timezone": "Europe/Berlin",
    "password": "quite a long sentence",
    "new_password": "quite another sentence",
    "current_password": PASSWORD,
    "payment_token": "tok_ok",
    "currency": "EUR",
}
"""Values that an invented body would hardly have by chance."""


async def mended(p: RunningPlatform, before: Mapping[str, Account], password_hash: str) -> dict[str, Account]:
    """Log in each kind of caller; whatever happened to the people meanwhile is taken back."""
    p.clock.set(datetime.now(UTC))  # a whole run takes longer than a token of its beginning is good for
    for name, account in before.items():
        await p.sql(
            "UPDATE user_management.users SET is_active = true, deleted_at = NULL, username = %(name)s,"
            " email = %(name)s || '@example.com', password_hash = %(password_hash)s WHERE id = %(id)s",
            id=account.id,
            name=name,
            password_hash=password_hash,
        )
    return {name: await log_in(p, f"{name}@example.com", PASSWORD) for name in ("root", "plain")}


Maker = Callable[[RunningPlatform, Account], Awaitable[Any]]


async def _notification(p: RunningPlatform, root: Account) -> Any:
    await announce(p, root.id)
    await p.deliver()
    [row, *_] = (await root.client.get(f"{API}/notifications")).json()["items"]
    return row["id"]


async def _delivery(p: RunningPlatform, root: Account) -> Any:
    await p.client.post(f"{API}/auth/password-reset", json={"email": "aimed@example.com"})
    await p.sql("UPDATE platform.deliveries SET status = 'dead', last_error = 'aimed at', lease_token = NULL")
    [row] = await p.sql("SELECT id FROM platform.deliveries ORDER BY id DESC LIMIT 1")
    return row["id"]


async def _template(p: RunningPlatform, root: Account) -> Any:
    await p.sql("DELETE FROM notification.templates")
    return (await write_template(root.client, KNOWN["kind"]))["id"]


async def _role(p: RunningPlatform, root: Account) -> Any:
    await p.sql("UPDATE user_management.roles SET deleted_at = now() WHERE name = 'aimed'")
    return (await make_role(p, "aimed")).id


async def _role_name(p: RunningPlatform, root: Account) -> Any:
    await _role(p, root)
    return "aimed"


async def _task(p: RunningPlatform, root: Account) -> Any:
    return await make_task(root.client, await make_project(root.client))


async def _order(p: RunningPlatform, root: Account) -> Any:
    return (await buy(root.client, await make_course(p)))["id"]


async def _comment(p: RunningPlatform, root: Account) -> Any:
    return await add_comment(root.client, await _task(p, root))


async def _one(p: RunningPlatform, sql: str) -> Any:
    [row] = await p.sql(sql)
    return row["id"]


async def _id(made: Awaitable[Any]) -> Any:
    thing = await made
    return thing["id"] if isinstance(thing, dict) else thing.id


async def _number(_p: RunningPlatform, _root: Account) -> Any:
    return "1"


A_USER = "SELECT id FROM user_management.users WHERE username = 'aimed'"
A_SESSION = "SELECT id FROM user_management.user_sessions ORDER BY id DESC LIMIT 1"
NUMBERS = itertools.count(1)
MAKERS: dict[str, Maker] = {
    "user_id": lambda p, root: _one(p, A_USER),
    "session_id": lambda p, root: _one(p, A_SESSION),
    "role_id": _role,
    "role_name": _role_name,
    "delivery_id": _delivery,
    "template_id": _template,
    "notification_id": _notification,
    "device_id": lambda p, root: _id(
        register_device(root.client, f"https://push.example.com/{next(NUMBERS)}")
    ),
    "file_id": lambda p, root: _id(upload(root.client, f"aimed-{next(NUMBERS)}.txt")),
    "folder_id": lambda p, root: _id(make_folder(root.client, f"aimed-{next(NUMBERS)}")),
    "upload_id": lambda p, root: begin_upload(root.client, 50, f"aimed-{next(NUMBERS)}.bin"),
    "number": _number,
    "project_id": lambda p, root: _id(make_project(root.client)),
    "task_id": lambda p, root: _id(_task(p, root)),
    "comment_id": lambda p, root: _id(_comment(p, root)),
    "course_id": lambda p, root: _id(make_course(p)),
    "order_id": _order,
    "post_id": lambda p, root: _id(make_post(root.client)),
    "saga_id": _order,
}
"""Name of a parameter, or of a member of a body → what makes one, the administrator's."""


async def identities(p: RunningPlatform, root: Account, operation: Any) -> dict[str, str]:
    """Return one of each thing that an operation names; made anew, because an earlier request may have deleted it."""
    asked = {parameter.name for parameter in operation.path_parameters}
    assert asked <= MAKERS.keys(), f"nobody can make one: {asked - MAKERS.keys()}"
    wanted = asked | {name for name in MAKERS if f'"{name}"' in str(operation.definition.raw)}
    return {name: str(await MAKERS[name](p, root)).rpartition("/")[2] for name in sorted(wanted)}


def complaints(case: Any, answer: Any) -> Iterator[str]:
    assert "set-cookie" not in answer.headers
    answer.request.read()  # a form is a stream, which the checks want to show
    try:
        case.validate_response(answer, checks=CHECKS)
    except* Exception as failures:  # noqa: BLE001  # they are gathered, and told at the end
        for failure in failures.exceptions:
            yield f"{case.operation.label}: {failure}"


@pytest.mark.slow
async def test_row_76_invented_requests_get_answers_as_described(
    platform: PlatformFactory, pytestconfig: pytest.Config
) -> None:
    """Row 76: well-formed, malformed, and with one poisoned value; never 5xx, always as documented."""
    seed = pytestconfig.getoption("fuzz_seed", default=None) or random.randrange(2**32)
    count = pytestconfig.getoption("cases", default=None)
    only = pytestconfig.getoption("operations", default=None) or ""
    share = TRIED_SHARE if count is None and not only else 1
    count = count or CASES_COUNT
    print("repeat with --fuzz-seed", seed)  # pytest shows it beside a failure
    chance = random.Random(seed)
    wrong: list[str] = []
    told = 0
    statuses: dict[str, Counter[int]] = {}
    async with (
        running_gateway() as gateway,
        platform(SHIPPED, seed=essentials, settings={"PAYMENT_GATEWAY_URL": gateway.url}) as p,
    ):
        everybody = {
            "root": await sign_up(p, "root", permissions=["*"]),
            "plain": await sign_up(p, "plain"),
            "aimed": await sign_up(p, "aimed"),
        }
        [row] = await p.sql("SELECT password_hash FROM user_management.users WHERE username = 'root'")
        endless = {str(one) for one in await operations(p, endless=True) if one.is_endless}
        for found in openapi.from_dict(await document(p)).get_all_operations():
            operation = found.ok()
            if only not in operation.label or operation.label in endless or chance.random() > share:
                continue
            seen = statuses.setdefault(operation.label, Counter())
            people = await mended(p, everybody, row["password_hash"])
            targets = await identities(p, people["root"], operation)
            good = await invented(operation, GenerationMode.POSITIVE, seed, count)
            bad = await invented(operation, GenerationMode.NEGATIVE, seed, count)
            for number, case in enumerate(good[::2]):
                somebody = f"{seed:x}{len(statuses)}x{number}"
                aimed(case, targets | KNOWN | {"email": f"{somebody}@example.com", "username": somebody})
            spoilt = [(case, poisoned(case, chance)) for case in good]
            requests = [(case, request_of(case)) for case in good + bad]
            requests += [(case, request) for case, request in spoilt if request is not None]
            for case, request in requests:
                if operation.path in ENDING:
                    people = await mended(p, everybody, row["password_hash"])
                for client in (*(person.client for person in people.values()), p.client):
                    answer = await client.request(**request)
                    seen[answer.status_code] += 1
                    wrong += complaints(case, answer)
            print(
                f"{operation.label:60} {dict(sorted(seen.items()))}", *wrong[told:], sep="\n    ", flush=True
            )
            told = len(wrong)
        described = {str(one) for one in await operations(p) if only in str(one)}
    assert wrong == [], "\n\n".join(dict.fromkeys(wrong))
    assert statuses.keys() == described or share < 1
    assert all(seen.total() >= 3 * min(count, 1) for seen in statuses.values())
