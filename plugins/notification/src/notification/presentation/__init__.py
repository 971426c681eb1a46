"""The routes of `notification`, by what they are about."""

from notification.presentation import devices, email_logs, inbox, preferences, templates

ROUTERS = (inbox.router, preferences.router, devices.router, templates.router, email_logs.router)
