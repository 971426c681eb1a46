"""The server span of a request, as OpenTelemetry's conventions have it; and what it costs where nobody takes it."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from platform_core import tracing

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"  # pragma: allowlist secret
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def exporter():
    return InMemorySpanExporter()


@pytest.fixture(scope="module")
def provider(exporter):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


@pytest.fixture
def spans(exporter, provider, monkeypatch):
    # OpenTelemetry lets a process have one provider for good, and the other tests are to have none
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    exporter.clear()
    return exporter.get_finished_spans


async def test_a_request_is_a_server_span_below_the_one_that_its_client_named(build, spans):
    rig = await build(PLATFORM_TRUSTED_PROXIES="192.0.2.1")
    headers = {
        "traceparent": PARENT,
        "tracestate": "vendor=1",
        "User-Agent": "Browser",
        "X-Forwarded-For": "203.0.113.9",
    }
    async with rig.client() as client:
        answer = await client.get("/echo/a%20b?q=secret", headers=headers)
        who = await client.get("/who", headers=headers)
    assert answer.status_code == 200
    span = spans()[0]
    assert span.name == "GET /api/v1/echo/{text}"
    assert span.kind is SpanKind.SERVER
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/api/v1/echo/{text}",
        "url.scheme": "http",
        "url.path": "/api/v1/echo/a b",
        "network.protocol.version": "1.1",
        "client.address": "203.0.113.9",
        "user_agent.original": "Browser",
        "server.address": "shop.test",
    }
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT.split("-")[2]
    assert span.context.trace_state["vendor"] == "1"
    # what the request carries on into events and jobs hangs below it
    second = spans()[1]
    assert who.json()["trace"] == f"00-{TRACE}-{second.context.span_id:016x}-01"


@pytest.mark.parametrize("sent", [None, "rubbish"])
async def test_without_a_trace_of_its_client_a_request_begins_one(build, spans, sent):
    rig = await build()
    async with rig.client() as client:
        who = await client.get("/who", headers={} if sent is None else {"traceparent": sent})
    (span,) = spans()
    assert span.parent is None
    assert who.json()["trace"] == tracing.traceparent_of(trace.NonRecordingSpan(span.context))


@pytest.mark.parametrize(
    ("method", "path", "name", "status", "error"),
    [
        ("GET", "/boom", "GET /api/v1/boom", 500, "500"),
        ("GET", "/widgets", "GET /api/v1/widgets", 401, None),
        ("GET", "/never/heard/of", "GET", 404, None),
        ("BREW", "/who", "HTTP", 405, None),
        ("GET", "/broken/thing", "GET", 503, "503"),
    ],
)
async def test_the_servers_errors_are_errors_and_the_clients_are_not(
    build, spans, method, path, name, status, error
):
    rig = await build()
    async with rig.client() as client:
        assert (await client.request(method, path)).status_code == status
    (span,) = spans()
    assert span.name == name
    assert span.attributes["http.response.status_code"] == status
    assert ("http.route" in span.attributes) is (" " in name)
    assert span.attributes.get("error.type") == error
    assert span.status.status_code is (StatusCode.ERROR if error else StatusCode.UNSET)
    assert not span.events  # the text of an exception stays in the log
    if method == "BREW":
        assert span.attributes["http.request.method"] == "_OTHER"
        assert span.attributes["http.request.method_original"] == "BREW"


async def test_what_a_request_does_hangs_below_its_span(build, spans):
    rig = await build()

    async def pause():
        with tracing.span("inside"):
            pass

    rig.bus.before_commit_pause = pause
    async with rig.client(token=await rig.log_in("widgets:write")) as client:
        assert (await client.post("/widgets", json={"name": "traced"})).status_code == 201
    statements = [span for span in spans() if span.kind is SpanKind.CLIENT]
    inside, request = (span for span in spans() if span.kind is not SpanKind.CLIENT)
    assert inside.parent.span_id == request.context.span_id
    assert {span.parent.span_id for span in statements} == {request.context.span_id}
    assert {span.name.split()[0] for span in statements} == {"sql"}


async def test_probes_and_metrics_are_not_traced(build, spans):
    rig = await build()
    async with rig.client() as client:
        await client.get("http://shop.test/health/live")
        await client.get("http://shop.test/metrics")
    assert spans() == ()


async def test_instrumentation_around_the_application_keeps_the_span_that_it_made(build, spans, provider):
    rig = await build()
    with provider.get_tracer("around").start_as_current_span("around") as around:
        async with rig.client() as client:
            who = await client.get("/who", headers={"traceparent": PARENT})
    assert [span.name for span in spans()] == ["around"]
    assert who.json()["trace"] == tracing.traceparent_of(around)


async def test_where_nobody_takes_spans_none_is_begun(build, exporter):
    exporter.clear()
    rig = await build()
    async with rig.client() as client:
        who = await client.get("/who", headers={"traceparent": PARENT})
    assert who.json()["trace"] == PARENT
    with tracing.span("nothing", PARENT) as carried:
        assert carried == PARENT
        assert not trace.get_current_span().get_span_context().is_valid
    assert exporter.get_finished_spans() == ()


async def test_what_failed_inside_is_told_by_its_kind_and_never_by_its_words(build, spans):
    await build()
    with pytest.raises(LookupError), tracing.span("command shop.make"):
        raise LookupError("Key (email)=(ann@example.com) already exists")
    (span,) = spans()
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "LookupError")
    assert not span.events
    assert "ann@example.com" not in str(span.to_json())
