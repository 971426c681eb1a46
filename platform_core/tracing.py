"""OpenTelemetry: spans go wherever the standard `OTEL_*` variables say, and nowhere when they say nothing."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import structlog
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from platform_core import __version__

__all__ = ["client_span"]

SAMPLED_RATIO = 0.05
"""
Of the traces that begin here, unless OTEL_TRACES_SAMPLER says otherwise.

The SDK's own default, all of them, costs more than the work that they tell of (docs/performance.md).
"""

_EXPORTER: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"

_tracer = trace.get_tracer("platform_core")
_propagator = TraceContextTextMapPropagator()

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
    if not _is_installed(_EXPORTER):
        logger.warning(
            "an OTLP endpoint is set, but its exporter is not installed",
            hint="pip install platform-core[otlp]",
        )
        return None
    attributes = {
        "service.name": environment.get("OTEL_SERVICE_NAME", service),
        "service.version": __version__,
    }
    # None leaves the choice to the SDK, which reads OTEL_TRACES_SAMPLER by itself
    sampler = (
        None if environment.get("OTEL_TRACES_SAMPLER") else ParentBased(TraceIdRatioBased(SAMPLED_RATIO))
    )
    provider = TracerProvider(resource=Resource.create(attributes), sampler=sampler)
    provider.add_span_processor(BatchSpanProcessor(_LateExporter()))
    trace.set_tracer_provider(provider)
    return provider


def is_on() -> bool:
    """Tell whether anybody takes spans; where nobody does, none is begun, which would cost some 10 µs each."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider | trace.NoOpTracerProvider)


def span(name: str, traceparent: str | None = None) -> contextlib.AbstractContextManager[str | None]:
    """
    Open a span for the block: below the running one, else below the one that `traceparent` names.

    What is not sampled costs nothing: a part of such a trace is not sampled either.

    Args:
        name: says what is done and for which module: `command user_management.register_user`.
        traceparent: W3C trace context that came with a request, event or job.

    Returns: enters with the trace context to carry on: the new span's, or `traceparent` unchanged where nothing is
    traced.
    """
    if not is_on():
        return contextlib.nullcontext(traceparent)
    running = trace.get_current_span().get_span_context()
    unsampled = not running.trace_flags.sampled if running.is_valid else (traceparent or "").endswith("-00")
    return contextlib.nullcontext(traceparent) if unsampled else _span(name, traceparent)


@contextlib.contextmanager
def server_span(
    method: str, attributes: Mapping[str, str | int], carrier: Mapping[str, str]
) -> Iterator[Span]:
    """
    Open the span of one HTTP request for the block, as OpenTelemetry's conventions for HTTP servers have it.

    Args:
        method: the span's name until the route is known.
        attributes: what is known before the request is looked at; a sampler may decide by them.
        carrier: the trace context that came with the request; checked, or empty.
    """
    with _tracer.start_as_current_span(
        method,
        context=_propagator.extract(carrier) if carrier else None,
        kind=SpanKind.SERVER,
        attributes=attributes,
        record_exception=False,  # the log has it, without the risk of a secret in its message
        set_status_on_exception=False,
    ) as current:
        yield current


@contextlib.contextmanager
def client_span(name: str, attributes: Mapping[str, str | int]) -> Iterator[None]:
    """
    Open the span of a call to another server for the block, below the running one; where none runs, there is none.

    Args:
        name: what is called, and for which module: `sql orders`, `smtp notification`.
    """
    if not trace.get_current_span().is_recording():
        yield
        return
    with (
        _tracer.start_as_current_span(
            name,
            kind=SpanKind.CLIENT,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as current,
        _failures_of(current),
    ):
        yield


@contextlib.contextmanager
def _failures_of(current: Span) -> Iterator[None]:
    """Note that the block failed, and with what, but none of its words: a database's quote whole rows."""
    try:
        yield
    except BaseException as error:
        current.set_status(StatusCode.ERROR)
        current.set_attribute("error.type", type(error).__qualname__)
        raise


def traceparent_of(current: Span) -> str:
    """Return a span's context as W3C writes it."""
    context = current.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


@contextlib.contextmanager
def _span(name: str, traceparent: str | None) -> Iterator[str | None]:
    parent = None
    if traceparent is not None and not trace.get_current_span().get_span_context().is_valid:
        parent = _propagator.extract({"traceparent": traceparent})
    with (
        _tracer.start_as_current_span(
            name, context=parent, record_exception=False, set_status_on_exception=False
        ) as current,
        _failures_of(current),
    ):
        yield traceparent_of(current) if current.is_recording() else traceparent


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it
        return False


class _LateExporter(SpanExporter):
    """OTLP over HTTP, imported by the thread that sends the first spans: a start need not wait for it."""

    @functools.cached_property
    def _exporter(self) -> SpanExporter:
        exporter: SpanExporter = importlib.import_module(_EXPORTER).OTLPSpanExporter()
        return exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export(spans)

    def shutdown(self) -> None:
        if self._was_used:
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return not self._was_used or self._exporter.force_flush(timeout_millis)

    @property
    def _was_used(self) -> bool:
        return "_exporter" in vars(self)  # where `cached_property` keeps it
