"""
Projections, that is read models: how they are made of the events there have been; private to the kernel.

    store    the table of projections            replay    makes one, aggregate by aggregate
    gauges   how far each is behind

Live events reach a projection as any other handler. See docs/decisions/0022-a-read-model-is-replayed-in-place.md.
"""

from platform_core._projections.gauges import ProjectionGauges
from platform_core._projections.replay import Progress, Replays

__all__ = ["Progress", "ProjectionGauges", "Replays"]
