"""What buyers hear of; imported only where `notification` is installed."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from notification import NotificationKind
from notification.hookspecs import notify_on, read_templates
from orders.contracts import OrderConfirmed

CONFIRMED: Final = NotificationKind(
    name=OrderConfirmed.wire_name,
    title="Your order is confirmed",
    event=OrderConfirmed,
    recipients=lambda event: [event.buyer_id],
    data=lambda event: {
        "order_id": str(event.order_id),
        "course_title": event.course_title,
        "amount": event.amount,
        "currency": event.currency,
    },
    sample={
        "order_id": "01a20642-0c8c-7e6e-b94c-e5b378cc4910",
        "course_title": "Reading maps",
        "amount": "49.90",
        "currency": "EUR",
    },
    channels=("in_app", "email"),
)

KINDS: Final = (CONFIRMED,)
TEMPLATES: Final = read_templates(files("orders") / "templates", module="orders")
SUBSCRIPTIONS: Final = (notify_on(CONFIRMED, name="orders.notify_order_confirmed"),)
