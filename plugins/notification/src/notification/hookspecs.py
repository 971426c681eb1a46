"""
The extension points of `notification`, and what a plugin needs to use them.

A module that wants people to hear of its event declares a kind, its wording, and one subscription:

    ASSIGNED = NotificationKind(name="project_management.task_assigned", event=TaskAssigned, …)

    @hookimpl
    def notification_kinds(): return [ASSIGNED]

    @hookimpl
    def notification_templates(): return read_templates(files("project_management") / "templates")

    @hookimpl
    def register_event_handlers(): return [notify_on(ASSIGNED, name="project_management.notify_task_assigned")]

The subscription belongs to that module (its event, its handler), so `notification` needs neither to know nor to
"consume" it: the handler stores a `NotificationRequested`, which is this module's own event.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from notification.contracts import EMAIL, NotificationKind, NotificationRequested, TemplateSource
from platform_core.declarations import Subscription, on
from platform_core.domain import Event
from platform_core.hookspecs import hookspec
from platform_core.ports import EventMetadata, Outbox

if TYPE_CHECKING:
    from notification.contracts import NotificationChannel

__all__ = [
    "notification_channels",
    "notification_kinds",
    "notification_templates",
    "notify_on",
    "read_templates",
]


@hookspec
def notification_channels() -> Sequence[NotificationChannel]:  # type: ignore[empty-body]  # a specification has no body
    """
    Offer ways to reach people.

    When called: once per process, while services start.
    Return: channels; the adapter of each is provided per process by the same plugin's services.
    Must not: reuse the name of another channel; the first plugin keeps it.
    On error: this plugin's channels are left out, and logged.
    Since: 0.1
    """


@hookspec
def notification_kinds() -> Sequence[NotificationKind]:  # type: ignore[empty-body]  # as above
    """
    Offer sorts of notifications.

    When called: once per process, while services start.
    Return: kinds, each with wording in English (`notification_templates`).
    Must not: reuse the name of another kind; the first plugin keeps it.
    On error: this plugin's kinds are left out, and logged; their notifications become dead letters.
    Since: 0.1
    """


@hookspec
def notification_templates() -> Sequence[TemplateSource]:  # type: ignore[empty-body]  # as above
    """
    Offer the wording of kinds, of this plugin or of another one: translations, or a house's own voice.

    When called: once per process, while services start.
    Return: templates; of several for one kind, channel and locale the one of the last plugin counts, and an
        administrator's own counts more than all of them.
    Must not: call methods, look into attributes or calculate; see `TemplateSource`.
    On error: a template that cannot be rendered is left out, and logged.
    Since: 0.1
    """


def notify_on(kind: NotificationKind, *, name: str, **options: Any) -> Subscription:
    """
    Subscribe a kind to its event; what a plugin returns from its own `register_event_handlers`.

    Args:
        kind: has an `event`.
        name: of the subscription, stable, begins with the name of the plugin that returns it.
        options: as in `Subscription`.

    Raises:
        ValueError: the kind names no event.
    """
    if kind.event is None:
        raise ValueError(f"{kind.name} names no event to subscribe to")

    async def request_notification(event: Event, outbox: Outbox, metadata: EventMetadata) -> None:
        recipients = list(dict.fromkeys(kind.recipients(event)))
        if recipients:
            outbox.emit(
                NotificationRequested(
                    kind=kind.name,
                    recipients=recipients,
                    data=dict(kind.data(event)),
                    source_id=metadata.event_id,
                ),
                aggregate_type=metadata.aggregate_type,
                aggregate_id=metadata.aggregate_id,
            )

    return on(kind.event, request_notification, name=name, **options)


class _Folder(Protocol):
    """As much of `pathlib.Path` and `importlib.resources.abc.Traversable` as reading templates takes."""

    @property
    def name(self) -> str: ...
    def iterdir(self) -> Iterator[Any]: ...


def read_templates(folder: _Folder, *, module: str, channel: str = EMAIL) -> list[TemplateSource]:
    """
    Read wording from files: `<event>.<locale>.txt` begins with `Subject: …`, `<event>.<locale>.html` is optional.

    `<event>.<locale>.<channel>.txt` is the wording for another channel, such as `in_app`, `push` or `sms`; a channel
    without one borrows the subject of the mail.

    Args:
        folder: `importlib.resources.files("project_management") / "templates"`.
        module: first part of the kinds' names.
        channel: of the files that name none.

    Raises:
        ValueError: a text without a subject, or an HTML file without a text.
    """
    texts: dict[tuple[str, str, str], str] = {}
    pages: dict[tuple[str, str, str], str] = {}
    for file in sorted(folder.iterdir(), key=lambda entry: str(entry.name)):
        *stem, extension = str(file.name).split(".")
        if extension in ("txt", "html") and len(stem) in (2, 3):
            event, locale, named = (*stem, channel)[:3]
            found = texts if extension == "txt" else pages
            found[(event, locale, named)] = file.read_text(encoding="utf-8")
    if orphans := pages.keys() - texts.keys():
        raise ValueError(f"{sorted(orphans)[0]} has HTML but no text")
    return [_template(module, *key, text, pages.get(key)) for key, text in texts.items()]


def _template(
    module: str, event: str, locale: str, channel: str, text: str, html: str | None
) -> TemplateSource:
    head, _, body = text.partition("\n")
    if not head.startswith("Subject: "):
        raise ValueError(f"the {channel} wording of {event} in {locale} does not begin with 'Subject: '")
    return TemplateSource(
        kind=f"{module}.{event}",
        channel=channel,
        locale=locale,
        subject=head.removeprefix("Subject: ").strip(),
        text=body.lstrip("\n"),
        html=html,
    )
