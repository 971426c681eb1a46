"""One trace from the client's request to the mail that follows from it."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from platform_core import tracing
from platform_core.testing import PlatformFactory
from user_management.testing import essentials


async def test_a_registration_and_its_mail_are_one_trace(
    platform: PlatformFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
    async with platform(["user_management", "notification"], seed=essentials, mail=True) as p:
        exporter.clear()
        eve = {"email": "eve@example.com", "username": "eve", "password": "long enough by far"}
        assert (await p.client.post("/api/v1/users/register", json=eve)).status_code == 201
        await p.deliver()
    spans = exporter.get_finished_spans()
    [request] = [span for span in spans if span.name == "POST /api/v1/users/register"]
    of_request = {span.name for span in spans if span.context.trace_id == request.context.trace_id}
    assert {
        "command user_management.register_user",
        "sql user_management",
        "deliver notification.user_registered",
        "deliver notification.send_email",
        "sql notification",
        "smtp notification",
    } <= of_request, sorted(of_request)
