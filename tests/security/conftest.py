"""Attacks from outside, by somebody who did not write the platform: see `docs/security.md` for which row is where."""

import sys
from pathlib import Path

# test files share `attacks.py`
sys.path.append(str(Path(__file__).parent))
