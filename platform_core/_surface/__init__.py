"""
The published surface: what others build on, found in the code, written down, and compared with what was written down.

`platform modules surface` does it for one module, `tools/surface.py` for all that this repository ships.
"""

from platform_core._surface.comparison import broken, hasty
from platform_core._surface.document import Surface, kept, surface_of, text_of

__all__ = ["Surface", "broken", "hasty", "kept", "surface_of", "text_of"]
