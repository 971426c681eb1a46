"""
The kinds of notifications about accounts: what `user_management` publishes, as mails.

They are essential: who registers, forgets a password or finds it changed hears of it, whatever their preferences.
Those that carry a link go by mail alone: an inbox is stored, and nobody reads it who cannot log in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from notification.contracts import EMAIL, IN_APP, NotificationKind
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
    channels=(EMAIL,),
    essential=True,
)

EMAIL_VERIFICATION: Final = NotificationKind(
    name=EmailVerificationRequested.wire_name,
    title="Confirm your e-mail address",
    event=EmailVerificationRequested,
    recipients=lambda event: [event.user_id],
    data=lambda event: {"verification_id": str(event.verification_id)},
    channels=(EMAIL,),
    essential=True,
)

PASSWORD_RESET: Final = NotificationKind(
    name=PasswordResetRequested.wire_name,
    title="Choose a new password",
    event=PasswordResetRequested,
    recipients=lambda event: [event.user_id],
    data=lambda event: {"reset_id": str(event.reset_id)},
    channels=(EMAIL,),
    essential=True,
)

INVITATION: Final = NotificationKind(
    name=UserInvited.wire_name,
    title="Your account is ready",
    event=UserInvited,
    recipients=lambda event: [event.user_id],
    data=lambda event: {"invitation_id": str(event.invitation_id)},
    channels=(EMAIL,),
    essential=True,
)

PASSWORD_CHANGED: Final = NotificationKind(
    name=PasswordChanged.wire_name,
    title="Your password was changed",
    event=PasswordChanged,
    recipients=lambda event: [event.user_id],
    channels=(IN_APP, EMAIL),
    essential=True,
)

SESSION_REUSED: Final = NotificationKind(
    name=SessionReuseDetected.wire_name,
    title="One of your logins was ended",
    event=SessionReuseDetected,
    recipients=lambda event: [event.user_id],
    channels=(IN_APP, EMAIL),
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


@dataclass(frozen=True, slots=True)
class LinkOf:
    """
    Where the mail of a kind gets its link, which holds a secret, when it is written.

    Attributes:
        request: the entry of the mail's data that names the request.
        make: how `MailLinks` makes the link.
        indispensable: without it there is nothing to tell.
    """

    request: str
    make: Callable[[MailLinks, UUID], str]
    indispensable: bool = True

    async def write(self, links: MailLinks, data: Mapping[str, Any]) -> str | None:
        """Return the link; None where there was none, or where it would no longer work."""
        if self.request not in data:
            return None
        request_id = UUID(data[self.request])
        return self.make(links, request_id) if await links.is_open(request_id) else None


LINKED_KINDS: Final[Mapping[str, LinkOf]] = {
    # who comes late is welcome all the same
    WELCOME.name: LinkOf("verification_id", lambda links, id_: links.verification_link(id_), False),
    EMAIL_VERIFICATION.name: LinkOf("verification_id", lambda links, id_: links.verification_link(id_)),
    PASSWORD_RESET.name: LinkOf("reset_id", lambda links, id_: links.password_reset_link(id_)),
    INVITATION.name: LinkOf("invitation_id", lambda links, id_: links.invitation_link(id_)),
}
