import re

import pytest
from fastapi import APIRouter, WebSocket

from platform_core.errors import HookFailed, NameCollision
from platform_core.http import Router
from platform_core.http.assembly import ModuleRoutes, check_routes


@pytest.fixture
async def document(visitor):
    return (await visitor.get("http://shop.test/openapi.json")).json()


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def references(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def test_every_operation_has_a_tag_a_summary_a_unique_name_and_its_refusals(document):
    assert document["openapi"].startswith("3.1")
    assert document["tags"] == [{"name": "shop", "description": "Shop"}]
    names = [operation["operationId"] for *_, operation in operations(document)]
    assert len(names) == len(set(names)) > 10
    for path, method, operation in operations(document):
        assert operation["tags"] == ["shop"]
        assert operation["summary"]
        assert operation["operationId"].startswith("shop.")
        responses = operation["responses"]
        assert {"429", "500", "503"} <= responses.keys()
        assert ("401" in responses) == (operation["security"] == [{"bearer": []}])
        assert ("403" in responses) == ("x-permission" in operation)
        if "requestBody" in operation:
            assert {"413", "415", "422"} <= responses.keys()
        if method in ("patch", "delete"):
            assert "412" in responses, path
        for status, response in responses.items():
            if status >= "400":
                assert list(response["content"]) == ["application/problem+json"]


def test_every_reference_leads_somewhere(document):
    for reference in set(references(document)):
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_what_a_route_raises_is_documented_by_its_problem_type(document):
    taken = document["paths"]["/api/v1/widgets"]["post"]["responses"]["409"]
    assert "There is a widget of this name already." in taken["description"]
    examples = taken["content"]["application/problem+json"]["examples"]
    assert examples["widget-taken"]["value"]["type"] == "/problems/widget-taken"


def test_headers_that_a_client_may_send_are_parameters(document):
    def names(path, method):
        parameters = document["paths"][path][method]["parameters"]
        return {p["$ref"].rpartition("/")[2] for p in parameters if "$ref" in p}

    assert names("/api/v1/widgets", "post") == {"RequestId", "IdempotencyKey"}
    assert names("/api/v1/widgets", "get") == {"RequestId"}
    assert names("/api/v1/widgets/{widget_id}", "get") == {"RequestId", "IfNoneMatch"}
    assert names("/api/v1/widgets/{widget_id}", "patch") == {"RequestId", "IfMatch"}


async def test_the_page_needs_nothing_from_elsewhere(visitor):
    page = await visitor.get("http://shop.test/docs")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    nonces = set(re.findall(r"'nonce-([^']+)'", policy))
    assert set(re.findall(r'nonce="([^"]+)"', page.text)) == nonces
    assert "https://" not in page.text
    for asset in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        answer = await visitor.get(f"http://shop.test/{asset}")
        assert answer.status_code == 200
        assert len(answer.content) > 100_000
    assert (await visitor.get("http://shop.test/docs/elsewhere.js")).status_code == 404


# ── assembly ─────────────────────────────────────────────────────────────────────────────────────


def check(rig, router, *, paths=("/things",), permissions=(), taken=None, module="toys"):
    offered = ModuleRoutes(module, "Toys", [router])
    taken = {} if taken is None else taken
    return check_routes(offered, paths=paths, permissions=permissions, settings=rig.settings, taken=taken)


async def test_routes_outside_of_the_modules_paths_are_refused(rig):
    router = Router()

    @router.get("/thingsandmore")
    async def more() -> None: ...

    @router.get("/things/{thing_id}")
    async def fine(thing_id: str) -> None: ...

    problems = check(rig, router)
    assert [type(problem) for problem in problems] == [HookFailed]
    assert "/thingsandmore" in str(problems[0])


async def test_undeclared_permissions_and_unknown_limits_are_refused(rig):
    router = Router()

    @router.get("/things", permission="things:read")
    async def read() -> None: ...

    @router.post("/things", public=True, limit="nonsense")
    async def make() -> None: ...

    assert len(check(rig, router)) == 2
    assert len(check(rig, router, permissions=["things:read"])) == 1


async def test_two_modules_cannot_have_the_same_route_however_its_parameters_are_called(rig):
    one, two = Router(), Router()

    @one.get("/things/{thing_id}")
    async def first(thing_id: str) -> None: ...

    @two.get("/things/{other}")
    async def second(other: str) -> None: ...

    taken = {}
    assert check(rig, one, taken=taken) == []
    problems = check(rig, two, taken=taken, module="games")
    assert [type(problem) for problem in problems] == [NameCollision]


async def test_only_http_routes_may_be_offered(rig):
    router = APIRouter()

    @router.websocket("/things/socket")
    async def socket(websocket: WebSocket) -> None: ...

    assert "APIWebSocketRoute" in str(check(rig, router)[0])


def test_a_public_route_cannot_need_a_permission():
    with pytest.raises(TypeError, match="public"):
        Router().get("/things", public=True, permission="things:read")
