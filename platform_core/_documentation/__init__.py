"""
What a running kernel says about itself: canvases of its modules, catalogues, C4 diagrams, the flow of events.

`canvas` reads everything once from what is loaded; `diagrams` and `flow` draw it; `page` makes one HTML file of it and
`files` a folder of Markdown and pictures. Nothing here connects to anything.
"""

from platform_core._documentation.canvas import Canvas, Handbook, handbook_of
from platform_core._documentation.files import write
from platform_core._documentation.page import page
from platform_core._documentation.site import Site

__all__ = ["Canvas", "Handbook", "Site", "handbook_of", "page", "write"]
