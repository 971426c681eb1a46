"""What people may hear of their files; imported only where `notification` is installed."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from file_management.contracts import FileProcessed, FileRejected, FileUploaded
from notification import NotificationKind
from notification.hookspecs import notify_on, read_templates

IN_APP: Final = "in_app"

UPLOADED: Final = NotificationKind(
    name=FileUploaded.wire_name,
    title="A file of yours has new content",
    event=FileUploaded,
    # nobody needs to hear of what they did themselves
    recipients=lambda event: [event.owner_id] if event.uploaded_by != event.owner_id else [],
    data=lambda event: {"file_id": str(event.file_id), "name_of_file": event.name},
    sample={"file_id": "01a20642-0c8c-7e6e-b94c-e5b378cc4910", "name_of_file": "holiday.jpg"},
    channels=(IN_APP,),
)
PROCESSED: Final = NotificationKind(
    name=FileProcessed.wire_name,
    title="Your file is ready",
    event=FileProcessed,
    recipients=lambda event: [event.owner_id],
    data=lambda event: {
        "file_id": str(event.file_id),
        "name_of_file": event.name,
        "problem": event.error or "",
    },
    sample={
        "file_id": "01a20642-0c8c-7e6e-b94c-e5b378cc4910",
        "name_of_file": "holiday.jpg",
        "problem": "",
    },
    channels=(IN_APP,),
)
REJECTED: Final = NotificationKind(
    name=FileRejected.wire_name,
    title="A file was not taken",
    event=FileRejected,
    recipients=lambda event: [event.uploaded_by, event.owner_id],
    data=lambda event: {"name_of_file": event.name, "reason": event.reason, "detail": event.detail},
    sample={"name_of_file": "invoice.zip", "reason": "infected", "detail": "EICAR-Test-File"},
    channels=(IN_APP, "email"),
)

KINDS: Final = (UPLOADED, PROCESSED, REJECTED)
TEMPLATES: Final = read_templates(files("file_management") / "templates", module="file_management")
SUBSCRIPTIONS: Final = tuple(
    notify_on(kind, name=f"file_management.notify_{kind.name.partition('.')[2]}") for kind in KINDS
)
