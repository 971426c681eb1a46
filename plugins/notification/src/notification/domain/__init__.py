"""
The rules of `notification`: what becomes of a message, who wants to hear of what and when, an administrator's wording.
"""

from notification.domain.devices import (
    DEVICES_COUNT,
    Device,
    DeviceTaken,
    TooManyDevices,
    check_subscription,
    free_place,
)
from notification.domain.inbox import LONGEST_BODY, LONGEST_TITLE, Notification
from notification.domain.messages import ATTEMPTS_COUNT, Email, Status
from notification.domain.preferences import (
    DEFAULT_CHANNELS,
    Preferences,
    check_preferences,
    wanted_channels,
)
from notification.domain.quiet_hours import quiet_until
from notification.domain.templates import Template, locale_chain
from notification.domain.text import greeting_name, one_line

__all__ = [
    "ATTEMPTS_COUNT",
    "DEFAULT_CHANNELS",
    "DEVICES_COUNT",
    "LONGEST_BODY",
    "LONGEST_TITLE",
    "Device",
    "DeviceTaken",
    "Email",
    "Notification",
    "Preferences",
    "Status",
    "Template",
    "TooManyDevices",
    "check_preferences",
    "check_subscription",
    "free_place",
    "greeting_name",
    "locale_chain",
    "one_line",
    "quiet_until",
    "wanted_channels",
]
