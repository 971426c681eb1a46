"""Structured logs: one JSON object a line (or a readable line in development), with identifiers, without secrets."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, cast
from urllib.parse import unquote

import orjson
import structlog
from opentelemetry import trace

from platform_core.context import bound

_SECRET_NAMES = re.compile(
    r"password|passwd|secret|token|authorization|cookie|api_?key|pepper|private", re.IGNORECASE
)
_SECRET_VALUES = re.compile(
    r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # a JWT
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"  # user and password in a URL
    r"|(?i:bearer)\s+[\w.~+/=-]{8,}"
    r"|\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}"  # a bcrypt hash
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----"
)
_SECRET_VARIABLES = re.compile(rf"{_SECRET_NAMES.pattern}|_key$", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
_SHORTEST_SECRET = 8


def configure(*, level: str = "INFO", json: bool = True) -> None:
    """
    Send every log line of the process, ours and libraries', to stderr in one shape.

    Args:
        level: least severe line that is written.
        json: one JSON object a line; otherwise coloured lines for people.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _drop_colours,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_identifiers,
        structlog.processors.format_exc_info if json else _keep,
        redact,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(serializer=_json)
        if json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), pad_event_to=32, exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("uvicorn.access", "taskiq", "alembic", "mail.log", "httpx2"):
        logging.getLogger(noisy).setLevel("WARNING")
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers[:] = []
        logging.getLogger(name).propagate = True
    _direct.is_on, _direct.is_shown = json, logging.getLevelName(level) <= logging.INFO
    logging.raiseExceptions = False  # a full disk must not take the request down with the log line


def conceal(source: Mapping[str, str]) -> None:
    """
    Mask the very values of this deployment's secrets from now on, wherever they turn up in a line.

    Args:
        source: environment variables. Secret are those that are called so, or name a file that is, and passwords in
            URLs; what is shorter than eight characters is left alone, because it occurs by chance.
    """
    values: set[str] = set()
    for name, value in source.items():
        if _SECRET_VARIABLES.search(name.removesuffix("_FILE")):
            values.update(_content(Path(value)) if name.endswith("_FILE") else value.splitlines())
        values.update(unquote(found) for found in _URL_PASSWORD.findall(value))
    long_ones = sorted((value for value in values if len(value) >= _SHORTEST_SECRET), key=len, reverse=True)
    _direct.concealed = re.compile("|".join(map(re.escape, long_ones))) if long_ones else None


def _content(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []  # whoever needs it complains


def capture_prints() -> None:
    """Turn what code prints, and what Python warns of, into lines of the log: one shape, without secrets."""
    logging.captureWarnings(capture=True)
    sys.stdout = cast("TextIO", _Printed())


class _Printed:
    """A stream for `print`: each line becomes one of the log, with the module that printed it."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            printer = sys._getframe(1).f_globals.get("__name__")
            structlog.get_logger("platform_core.printed").info("printed", text=line, printer=printer)
        return len(text)

    def flush(self) -> None:
        """Do nothing: a line is written when it is whole."""

    def isatty(self) -> bool:
        return False


def access(**fields: Any) -> None:
    """
    Write the line of one answered request.

    There is one with each request, and nothing in it comes from a client but what has been checked, so as JSON it is
    written straight away: a tenth of what the way through every processor costs.
    """
    if not _direct.is_on:
        structlog.get_logger(_ACCESS).info("request", **fields)
        return
    if _direct.is_shown:
        moment = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        line = {"event": "request", **fields, "level": "info", "logger": _ACCESS, "timestamp": moment}
        with contextlib.suppress(OSError, ValueError):  # a full disk, a closed stream
            sys.stderr.write(_json(line) + "\n")


class _Direct:
    """Whether access lines are written as JSON without a detour, and whether at all; which values nobody may see."""

    is_on = False
    is_shown = True
    concealed: re.Pattern[str] | None = None


_direct = _Direct()
_ACCESS = "platform_core.http.access"


def add_identifiers(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the request's and the trace's identifiers, so that lines of one request can be found together."""
    context = bound()
    if context is not None:
        event.setdefault("request_id", context.request_id)
    if context is not None and context.correlation_id != context.request_id:
        event.setdefault("correlation_id", context.correlation_id)
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event.setdefault("trace_id", f"{span.trace_id:032x}")
        event.setdefault("span_id", f"{span.span_id:016x}")
    elif context is not None and context.traceparent:
        event.setdefault("trace_id", context.traceparent.split("-")[1])
    return event


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask values that look like secrets, and every value under a name that sounds like one."""
    for key, value in event.items():
        if key == "exc_info" or key.startswith("_"):  # for whoever writes the line
            continue
        event[key] = "[redacted]" if _SECRET_NAMES.search(key) and value is not None else masked(value)
    return event


def masked(value: Any) -> Any:
    """Return `value` with secrets inside its text masked; containers are walked, other objects become text first."""
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        return {k: "[redacted]" if _SECRET_NAMES.search(str(k)) else masked(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    text = _SECRET_VALUES.sub("[redacted]", str(value))
    return text if _direct.concealed is None else _direct.concealed.sub("[redacted]", text)


def _drop_colours(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.pop("color_message", None)  # uvicorn says everything twice, once in colours
    return event


def _json(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _keep(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return event
