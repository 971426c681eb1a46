"""A database of Redis for each process of a pytest run; private to the test kit."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

import redis

from platform_core.testing._directories import ServersUnavailable


def emptied(url: str, process: str) -> str:
    """
    Empty the process's own database and return its URL.

    Args:
        url: its database number is the first of the run.
        process: `main`, or an xdist worker: `gw3` uses the fourth database.

    Raises:
        ServersUnavailable: Redis has fewer databases than there are workers.
    """
    own = _numbered(url, int(process.removeprefix("gw")) if process.startswith("gw") else 0)
    with redis.Redis.from_url(own) as client:
        try:
            client.flushdb()
        except redis.ResponseError as error:
            hint = "run fewer workers (pytest -n), or configure more `databases`"
            raise ServersUnavailable(f"Redis has no database for {process}: {error}; {hint}") from error
    return own


def _numbered(url: str, offset: int) -> str:
    parts = urlsplit(url)
    head = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme == "unix":
        query = dict(parse_qsl(parts.query))
        number = int(query.pop("db", "0")) + offset
        return f"{head}{parts.path}?{urlencode({**query, 'db': number})}"
    number = int(parts.path.removeprefix("/") or "0") + offset
    return f"{head}/{number}?{parts.query}".removesuffix("?")
