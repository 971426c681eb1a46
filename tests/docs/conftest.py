"""What the tests of the pages share is imported while they are collected."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
