"""For tests, of this plugin and of those that need courses."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from courses.application import CreateCourse
from platform_core.domain import Money

if TYPE_CHECKING:
    from courses.contracts import CourseView
    from platform_core.testing import RunningPlatform

__all__ = ["make_course", "settings_for_tests"]


def settings_for_tests() -> Mapping[str, str]:
    """Return what this plugin needs to start under test: nothing."""
    return {}


async def make_course(
    p: RunningPlatform, title: str = "Reading maps", *, price: str = "49.90", capacity: int | None = None
) -> CourseView:
    """Offer a course in euros."""
    money = Money(Decimal(price), "EUR")
    return await p.execute(CreateCourse(title=title, price=money, capacity=capacity))
