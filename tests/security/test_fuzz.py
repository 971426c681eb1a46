"""Row 76: requests that a generator invents from `/openapi.json`, and answers that keep what it promises."""

import asyncio
import contextlib
import random
from typing import Any

import hypothesis
import pytest
import schemathesis
from attacks import MODULES, document
from schemathesis import GenerationMode, checks

from platform_core.testing import PlatformFactory
from user_management.testing import PASSWORD, essentials, log_in, sign_up

EXAMPLES_COUNT = 4
"""Per operation and kind of data; the nightly run of a later issue has hundreds."""

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]

LEFT_OUT = {"/api/v1/auth/logout", "/api/v1/users/me/password"}
"""They would end the sessions that the rest is sent with; other tests of this folder are at them."""


def invented(operation: Any, mode: GenerationMode, seed: int) -> list[Any]:
    """Let hypothesis invent cases; the platform answers them afterwards, in its own event loop."""
    cases: list[Any] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=EXAMPLES_COUNT,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def collect(case: Any) -> None:
        cases.append(case)

    # an operation without parameters has nothing that could be wrong
    with contextlib.suppress(hypothesis.errors.Unsatisfiable, schemathesis.errors.SchemathesisError):
        collect()
    return cases


async def sent(client: Any, case: Any) -> Any:
    arguments = case.as_transport_kwargs(base_url="https://testserver")
    body = {name: arguments[name] for name in ("json", "data", "files") if arguments.get(name) is not None}
    if isinstance(body.get("data"), bytes | str):
        body = {"content": body["data"]}
    headers = {
        name: value
        for name, value in arguments["headers"].items()
        if name.lower() not in ("authorization", "user-agent") and value.isascii()
    }
    answer = await client.request(
        arguments["method"],
        arguments["url"],
        params=arguments.get("params"),
        headers=headers,
        **body,
    )
    assert "set-cookie" not in answer.headers
    return answer


@pytest.mark.slow
async def test_row_76_invented_requests_get_answers_as_described(platform: PlatformFactory) -> None:
    """Row 76: as a member and as an administrator, well-formed and malformed; never 5xx, always as documented."""
    seed = random.randrange(2**32)
    print("seed", seed)  # pytest shows it beside a failure
    async with platform(MODULES, seed=essentials) as p:
        await sign_up(p, "root", permissions=["*"])
        await sign_up(p, "plain")
        schema = schemathesis.openapi.from_dict(await document(p))
        wrong: list[str] = []
        count = 0
        for found in schema.get_all_operations():
            operation = found.ok()
            if operation.path in LEFT_OUT:
                continue
            clients = []
            for username in ("root", "plain"):
                # whatever happened before, such as deleting oneself, is mended
                await p.sql(
                    "UPDATE user_management.users SET is_active = true, deleted_at = NULL WHERE username = %(name)s",
                    name=username,
                )
                clients.append((await log_in(p, f"{username}@example.com", PASSWORD)).client)
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                for case in await asyncio.to_thread(invented, operation, mode, seed):
                    for client in clients:
                        answer = await sent(client, case)
                        count += 1
                        try:
                            case.validate_response(answer, checks=CHECKS)
                        except* Exception as failures:  # noqa: BLE001  # they are gathered, and told at the end
                            wrong += [f"{operation.label}: {failure}" for failure in failures.exceptions]
        assert wrong == [], "\n\n".join(dict.fromkeys(wrong))
        assert count > 250
