"""
What the long-running processes need of libraries, without what those import for features that nobody uses here.

structlog looks for rich, to draw tracebacks that ours are not drawn with (`logs.configure`): a twentieth of a start.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def _missing(library: str) -> Iterator[None]:
    """Let a library seem not to be installed, unless it is imported already."""
    if library in sys.modules:
        yield
        return
    sys.modules[library] = None  # type: ignore[assignment]  # how Python is told that an import shall fail
    try:
        yield
    finally:
        del sys.modules[library]


with _missing("rich"):
    import structlog  # noqa: F401  # from now on it is there for everybody
