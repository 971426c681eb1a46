"""Courses to try things with; the seed goes through a command, and changes nothing when it runs again."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from courses.application import EnsureCourse
from platform_core.declarations import Seed, Tier
from platform_core.domain import Money
from platform_core.ports import Execute

_COURSES: Final = (
    ("Reading maps", "Contours, scales, and how not to get lost.", "49.90", None),
    ("Mending clocks", "Small wheels, steady hands; bring a broken one.", "180.00", 12),
    ("Baking bread", "One evening, one oven, one seat by the window.", "25.00", 1),
)


async def make_courses(execute: Execute) -> None:
    """One for everybody, one for few, and one with a single seat to race for."""
    for title, description, amount, capacity in _COURSES:
        price = Money(Decimal(amount), "EUR")
        await execute(EnsureCourse(title=title, description=description, price=price, capacity=capacity))


SEEDS: Final = (Seed(name="courses", tier=Tier.DEVELOPMENT, run=make_courses),)
