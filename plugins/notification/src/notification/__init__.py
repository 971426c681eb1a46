"""
The facade of `notification`: what other modules may import.
"""

from notification.contracts import (
    EMAIL,
    FALLBACK_LOCALE,
    Channel,
    ChannelNotConfigured,
    DeliveryDeferred,
    DeliveryRefused,
    EmailLogView,
    InvalidTemplate,
    NotificationChannel,
    NotificationKind,
    NotificationRequested,
    OutgoingMessage,
    PreferencesView,
    PreviewView,
    QuietHours,
    TemplateSource,
    TemplateTaken,
    TemplateView,
)

__all__ = [
    "EMAIL",
    "FALLBACK_LOCALE",
    "Channel",
    "ChannelNotConfigured",
    "DeliveryDeferred",
    "DeliveryRefused",
    "EmailLogView",
    "InvalidTemplate",
    "NotificationChannel",
    "NotificationKind",
    "NotificationRequested",
    "OutgoingMessage",
    "PreferencesView",
    "PreviewView",
    "QuietHours",
    "TemplateSource",
    "TemplateTaken",
    "TemplateView",
]
