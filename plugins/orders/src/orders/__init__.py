"""
The facade of `orders`: what other modules may import.
"""

from orders.contracts import (
    OrderCompleted,
    OrderConfirmed,
    OrderDetailView,
    OrderFailed,
    OrderId,
    OrderPlaced,
    OrderRefunded,
    OrderStatus,
    OrderView,
    StepView,
)

__all__ = [
    "OrderCompleted",
    "OrderConfirmed",
    "OrderDetailView",
    "OrderFailed",
    "OrderId",
    "OrderPlaced",
    "OrderRefunded",
    "OrderStatus",
    "OrderView",
    "StepView",
]
