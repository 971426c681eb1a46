"""The last step of `user_management`'s onboarding: everything is ready. The mail with the link went long before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final
from uuid import UUID

from annotated_types import Len

from notification.application.notify import Notifier
from notification.contracts import IN_APP, NotificationKind
from platform_core.domain import Command
from platform_core.ports import SagaRun
from user_management.hookspecs import prepared

READY: Final = NotificationKind(
    name="notification.ready",
    title="Everything is ready",
    channels=(IN_APP,),
    sample={"prepared": ["Workspace", "My first project"]},
)


@dataclass(frozen=True, kw_only=True)
class Welcome(Command[None]):
    """
    Tell somebody who is new that everything is ready.

    Attributes:
        welcome_id: who has this one already does not get it again.
        prepared: names of what was made for them.
    """

    welcome_id: UUID
    user_id: UUID
    prepared: Annotated[list[str], Len(0, 50)] = field(default_factory=list)


async def welcome(command: Welcome, notifier: Notifier) -> None:
    """Handle `Welcome`: an entry in the inbox; whoever has gone gets none."""
    await notifier.notify(
        READY,
        event_id=command.welcome_id,
        recipients=[command.user_id],
        data={"prepared": command.prepared},
    )


def welcoming(run: SagaRun) -> Welcome:
    return Welcome(welcome_id=run.id, user_id=UUID(run.data["user_id"]), prepared=prepared(run)[:50])
