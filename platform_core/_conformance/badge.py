"""
A grade as a picture for a README: one small SVG file that needs no font, script or server.

The proportions are those that README badges have everywhere: 20 pixels high, the subject left, the value right.
"""

from __future__ import annotations

from html import escape
from typing import Final

from platform_core._conformance.grades import Grade

_SUBJECT: Final = "platform-core"
_FILLS: Final = {
    Grade.NONE: ("#9f1d1d", "#7f1d1d"),
    Grade.BRONZE: ("#b0703a", "#8a5227"),
    Grade.SILVER: ("#8d99a6", "#6b7683"),
    Grade.GOLD: ("#c8961e", "#9d7210"),
}
"""Top and bottom of the value's ground; white text on each has the contrast that WCAG asks of large text."""

_WIDE: Final = frozenset("mwMW—")
_NARROW: Final = frozenset("fijlrt.,:;|!'()[] -")
_PADDING: Final = 7
_MEDAL: Final = 14


def svg(grade: Grade, release: str) -> str:
    """
    Return the picture.

    Args:
        release: of the kernel that the grade was given by.
    """
    left, right = f"{_SUBJECT} {release}", grade.label
    subject, value = _width(left) + 2 * _PADDING, _width(right) + 2 * _PADDING + _MEDAL
    width, top, bottom = subject + value, *_FILLS[grade]
    title = escape(f"{left}: {right}")
    at = subject + _PADDING + _MEDAL
    medal = subject + _PADDING + 4
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" viewBox="0 0 {width} 20" role="img" \
aria-label="{title}">
  <title>{title}</title>
  <linearGradient id="v" x2="0" y2="1">
    <stop stop-color="{top}"/><stop offset="1" stop-color="{bottom}"/>
  </linearGradient>
  <clipPath id="r"><rect width="{width}" height="20" rx="4"/></clipPath>
  <g clip-path="url(#r)">
    <rect width="{subject}" height="20" fill="#334155"/>
    <rect x="{subject}" width="{value}" height="20" fill="url(#v)"/>
  </g>
  <g fill="none" stroke="#fff" stroke-width="1.4" stroke-linejoin="round">
    <path d="M{medal - 2.5} 10.5v5l2.5-1.6 2.5 1.6v-5"/><circle cx="{medal}" cy="7.5" r="3.6"/>
  </g>
  <g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11">
    <text x="{_PADDING}" y="14" textLength="{_width(left)}">{escape(left)}</text>
    <text x="{at}" y="14" textLength="{_width(right)}" font-weight="bold">{escape(right)}</text>
  </g>
</svg>
"""


def _width(text: str) -> int:
    """Return about as many pixels as Verdana takes at that size; `textLength` makes every other font take them, too."""
    return round(sum(10.5 if c in _WIDE else 4.4 if c in _NARROW else 7.1 for c in text))
