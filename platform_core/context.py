"""What travels with one request, delivery or job: identifiers and the acting principal."""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from platform_core.domain import new_id
from platform_core.security import ANONYMOUS, Principal

__all__ = ["Context", "LastWrite", "bind", "bound", "current"]


@dataclass(slots=True)
class LastWrite:
    """
    When whoever is served wrote last; everything that one request does shares it.

    Attributes:
        at: seconds of `time.monotonic`; infinite where nobody knows.
    """

    at: float

    def is_now(self) -> None:
        """Show them nothing that is older than this moment."""
        self.at = time.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """
    What is known of whoever is served at the moment.

    Attributes:
        request_id: the client's `X-Request-ID` or one of ours; in every log line and problem.
        correlation_id: the request that started the whole chain of events.
        causation_id: the event or request that caused this one directly.
        principal: who acts.
        ip: the client's address as far as configured proxies vouch for it.
        traceparent: W3C trace context, carried into events and jobs.
        primary_reads: reads go to the primary database because a decision depends on them.
        last_write: reads go where this is shown; None where there is no replica, or nobody in particular asks.
    """

    request_id: str = field(default_factory=lambda: str(new_id()))
    correlation_id: str = ""
    causation_id: UUID | None = None
    principal: Principal = ANONYMOUS
    ip: str | None = None
    user_agent: str | None = None
    traceparent: str | None = None
    primary_reads: bool = False
    last_write: LastWrite | None = None

    def __post_init__(self) -> None:
        if not self.correlation_id:
            object.__setattr__(self, "correlation_id", self.request_id)


_current: contextvars.ContextVar[Context] = contextvars.ContextVar("platform_context")


def current() -> Context:
    """Return the context of the running task; a fresh anonymous one outside of any."""
    try:
        return _current.get()
    except LookupError:
        return Context()


def bound() -> Context | None:
    """Return the context of the running task, or None outside of any."""
    return _current.get(None)


@contextlib.contextmanager
def bind(context: Context) -> Iterator[Context]:
    """Make `context` the current one for the block."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)
