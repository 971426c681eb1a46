"""Attacks from outside, by somebody who did not write the platform: see `docs/security.md` for which row is where."""

import sys
from pathlib import Path

import pytest

# test files share `attacks.py`
sys.path.append(str(Path(__file__).parent))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Only where a path below this folder is given are these known; everywhere else `test_fuzz.py` has its own."""
    parser.addoption("--cases", type=int, help="test_fuzz.py: invented requests of each kind per operation")
    parser.addoption("--fuzz-seed", type=int, help="test_fuzz.py: repeat an earlier run")
    parser.addoption("--operations", help="test_fuzz.py: only those whose method and path contain this text")
