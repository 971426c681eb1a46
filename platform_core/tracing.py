"""OpenTelemetry: spans go wherever the standard `OTEL_*` variables say, and nowhere when they say nothing."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import structlog
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from platform_core import __version__

logger = structlog.get_logger("platform_core.tracing")


def configure(service: str, environment: Mapping[str, str]) -> TracerProvider | None:
    """
    Install a tracer provider when an OTLP endpoint is configured.

    Args:
        service: `platform-api`, `platform-worker`; `OTEL_SERVICE_NAME` goes before it.
        environment: where the `OTEL_*` variables are; the sampler and headers are read by the SDK itself.

    Returns: the provider, to be shut down at the end, or None.
    """
    wanted = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environment.get(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
    )
    if not wanted or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    exporter = _exporter()
    if exporter is None:
        return None
    attributes = {
        "service.name": environment.get("OTEL_SERVICE_NAME", service),
        "service.version": __version__,
    }
    provider = TracerProvider(resource=Resource.create(attributes))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider


def _exporter() -> SpanExporter | None:
    try:
        module = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError:
        logger.warning(
            "an OTLP endpoint is set, but its exporter is not installed",
            hint="pip install platform-core[otlp]",
        )
        return None
    exporter: SpanExporter = module.OTLPSpanExporter()
    return exporter
