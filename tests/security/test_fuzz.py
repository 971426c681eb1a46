"""
Row 76: requests that a generator invents from `/openapi.json`, and answers that keep what it promises.

Every operation gets them from an administrator, a member and a stranger. A short run is part of the tests;
`uv run nox -s fuzz` has fifty cases of each kind for every operation; `-- --cases 500` is for a night.
"""

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from attacks import API, MODULES, document, operations
from fuzzing import aimed, invented, poisoned, request_of
from schemathesis import GenerationMode, checks, openapi

from platform_core.testing import PlatformFactory, RunningPlatform
from user_management.testing import PASSWORD, essentials, log_in, sign_up

CASES_COUNT = 2
"""Of each kind for each operation, unless `--cases` says otherwise."""

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
}
"""Values that an invented body would hardly have by chance."""


async def log_in_everybody(p: RunningPlatform, password_hash: str) -> dict[str, Any]:
    """Return a client for each kind of caller; whatever happened to the people before is mended."""
    await p.sql(
        "UPDATE user_management.users SET is_active = true, deleted_at = NULL, password_hash = %(password_hash)s,"
        " email = username || '@example.com' WHERE username IN ('root', 'plain', 'aimed')",
        password_hash=password_hash,
    )
    people = {name: (await log_in(p, f"{name}@example.com", PASSWORD)).client for name in ("root", "plain")}
    return {**people, "stranger": p.client}


async def identities(p: RunningPlatform, root: Any) -> dict[str, str]:
    """Return one of each thing that a path may name; made again where an earlier request deleted it."""
    template = {"kind": "user_management.password_reset_requested", "channel": "email", "locale": "en"}
    await root.post(f"{API}/notifications/templates", json=template)
    await root.post(f"{API}/auth/password-reset", json={"email": "aimed@example.com"})
    await p.sql("UPDATE platform.deliveries SET status = 'dead', last_error = 'aimed at', lease_token = NULL")
    await root.post(f"{API}/roles", json={"name": "aimed", "description": "", "permissions": []})
    things = await project_identities(root)
    [row] = await p.sql(
        "SELECT (SELECT id FROM user_management.users WHERE username = 'aimed') AS user_id,"
        " (SELECT id FROM user_management.roles WHERE name = 'aimed' ORDER BY id DESC LIMIT 1) AS role_id,"
        " (SELECT id FROM notification.templates ORDER BY id DESC LIMIT 1) AS template_id,"
        " (SELECT id FROM platform.deliveries LIMIT 1) AS delivery_id,"
        " (SELECT s.id FROM user_management.user_sessions s JOIN user_management.users u ON u.id = user_id"
        "  WHERE username = 'root' LIMIT 1) AS session_id"
    )
    assert all(row.values()), row
    return {"role_name": "aimed", **things, **{name: str(value) for name, value in row.items()}}


async def project_identities(root: Any) -> dict[str, str]:
    """Return one of each thing that paths below projects name, each of the administrator's."""
    project = (await root.post(f"{API}/projects", json={"name": "aimed"})).json()["id"]
    task = (await root.post(f"{API}/projects/{project}/tasks", json={"title": "aimed"})).json()["id"]
    comment = (await root.post(f"{API}/tasks/{task}/comments", json={"body": "aimed"})).json()["id"]
    return {"project_id": project, "task_id": task, "comment_id": comment, "currency": "EUR"}


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
    count = pytestconfig.getoption("cases", default=None) or CASES_COUNT
    only = pytestconfig.getoption("operations", default=None) or ""
    print("repeat with --fuzz-seed", seed)  # pytest shows it beside a failure
    chance = random.Random(seed)
    wrong: list[str] = []
    statuses: dict[str, Counter[int]] = {}
    async with platform(MODULES, seed=essentials) as p:
        await sign_up(p, "root", permissions=["*"])
        await sign_up(p, "plain")
        await sign_up(p, "aimed")
        [row] = await p.sql("SELECT password_hash FROM user_management.users WHERE username = 'root'")
        endless = {str(one) for one in await operations(p, endless=True) if one.is_endless}
        for found in openapi.from_dict(await document(p)).get_all_operations():
            operation = found.ok()
            if only not in operation.label or operation.label in endless:
                continue
            seen = statuses.setdefault(operation.label, Counter())
            clients = await log_in_everybody(p, row["password_hash"])
            targets = await identities(p, clients["root"])
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
                    clients = await log_in_everybody(p, row["password_hash"])
                for client in clients.values():
                    answer = await client.request(**request)
                    seen[answer.status_code] += 1
                    wrong += complaints(case, answer)
        described = {str(one) for one in await operations(p) if only in str(one)}
    for label, seen in statuses.items():
        print(f"{label:60} {dict(sorted(seen.items()))}")
    assert wrong == [], "\n\n".join(dict.fromkeys(wrong))
    assert statuses.keys() == described
    assert all(seen.total() >= 3 * min(count, 1) for seen in statuses.values())
