"""
The kinds of notifications about accounts: what `user_management` publishes, as mails.

They are essential: who registers, forgets a password or finds it changed hears of it, whatever their preferences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

from notification.contracts import NotificationKind
from user_management import (
    EmailVerificationRequested,
    MailLinks,
    PasswordChanged,
    PasswordResetRequested,
    SessionReuseDetected,
    UserInvited,
    UserRegistered,
)

WELCOME: Final = NotificationKind(
    name=UserRegistered.wire_name,
    title="Welcome",
    event=UserRegistered,
    recipients=lambda event: [event.user_id],
    # one mail for a registration: it welcomes, and carries the link where the address waits for proof
    data=lambda event: {"verification_id": str(event.verification_id)} if event.verification_id else {},
    essential=True,
)

EMAIL_VERIFICATION: Final = NotificationKind(
    name=EmailVerificationRequested.wire_name,
    title="Confirm your e-mail address",
    event=EmailVerificationRequested,
    recipients=lambda event: [event.user_id],
    data=lambda event: {"verification_id": str(event.verification_id)},
    essential=True,
)

PASSWORD_RESET: Final = NotificationKind(
    name=PasswordResetRequested.wire_name,
    title="Choose a new password",
    event=PasswordResetRequested,
    recipients=lambda event: [event.user_id],
    data=lambda event: {"reset_id": str(event.reset_id)},
    essential=True,
)

INVITATION: Final = NotificationKind(
    name=UserInvited.wire_name,
    title="Your account is ready",
    event=UserInvited,
    recipients=lambda event: [event.user_id],
    data=lambda event: {"invitation_id": str(event.invitation_id)},
    essential=True,
)

PASSWORD_CHANGED: Final = NotificationKind(
    name=PasswordChanged.wire_name,
    title="Your password was changed",
    event=PasswordChanged,
    recipients=lambda event: [event.user_id],
    essential=True,
)

SESSION_REUSED: Final = NotificationKind(
    name=SessionReuseDetected.wire_name,
    title="One of your logins was ended",
    event=SessionReuseDetected,
    recipients=lambda event: [event.user_id],
    essential=True,
)

ACCOUNT_KINDS: Final = (
    WELCOME,
    EMAIL_VERIFICATION,
    PASSWORD_RESET,
    INVITATION,
    PASSWORD_CHANGED,
    SESSION_REUSED,
)


def _verification_link(links: MailLinks, data: Mapping[str, Any]) -> str:
    return links.verification_link(UUID(data["verification_id"]))


LINKED_KINDS: Final[Mapping[str, Callable[[MailLinks, Mapping[str, Any]], str]]] = {
    WELCOME.name: lambda links, data: _verification_link(links, data) if "verification_id" in data else "",
    EMAIL_VERIFICATION.name: _verification_link,
    PASSWORD_RESET.name: lambda links, data: links.password_reset_link(UUID(data["reset_id"])),
    INVITATION.name: lambda links, data: links.invitation_link(UUID(data["invitation_id"])),
}
"""Kinds whose mail holds a link with a secret, and how to get it when the mail is written."""
