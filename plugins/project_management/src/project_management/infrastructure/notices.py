"""What people may hear of their projects; imported only where `notification` is installed."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from notification import EMAIL, IN_APP, PUSH, NotificationKind
from notification.hookspecs import notify_on, read_templates
from project_management.contracts import (
    CommentAdded,
    MemberAdded,
    TaskAssigned,
    TaskStatusChanged,
    UserMentioned,
)

# Nobody hears of what they did themselves.

_SAMPLE: Final = {
    "project_id": "01a20642-0c8c-7e6e-b94c-e5b378cc4910",
    "task_id": "01a20642-0c8c-7e6e-b94c-e5b378cc4911",
    "title": "Paint the fence",
}

ASSIGNED: Final = NotificationKind(
    name=TaskAssigned.wire_name,
    title="A task is yours",
    event=TaskAssigned,
    recipients=lambda event: [event.assignee_id] if event.assignee_id != event.assigned_by else [],
    data=lambda event: {
        "project_id": str(event.project_id),
        "task_id": str(event.task_id),
        "title": event.title,
        "due_date": event.due_date.isoformat() if event.due_date else "",
    },
    sample={**_SAMPLE, "due_date": "2026-12-24"},
    channels=(IN_APP, EMAIL, PUSH),
)
MENTIONED: Final = NotificationKind(
    name=UserMentioned.wire_name,
    title="You were mentioned",
    event=UserMentioned,
    recipients=lambda event: event.user_ids,
    data=lambda event: {
        "project_id": str(event.project_id),
        "task_id": str(event.task_id),
        "comment_id": str(event.comment_id),
        "title": event.task_title,
    },
    sample={**_SAMPLE, "comment_id": "01a20642-0c8c-7e6e-b94c-e5b378cc4912"},
    channels=(IN_APP, EMAIL, PUSH),
)
COMMENTED: Final = NotificationKind(
    name=CommentAdded.wire_name,
    title="A task of yours was commented on",
    event=CommentAdded,
    # who is mentioned hears of that instead
    recipients=lambda event: (
        [event.assignee_id] if event.assignee_id not in (None, event.author_id, *event.mentioned_ids) else []
    ),
    data=lambda event: {
        "project_id": str(event.project_id),
        "task_id": str(event.task_id),
        "comment_id": str(event.comment_id),
        "title": event.task_title,
    },
    sample={**_SAMPLE, "comment_id": "01a20642-0c8c-7e6e-b94c-e5b378cc4912"},
    channels=(IN_APP,),
)
MOVED: Final = NotificationKind(
    name=TaskStatusChanged.wire_name,
    title="A task of yours went on",
    event=TaskStatusChanged,
    recipients=lambda event: [event.assignee_id] if event.assignee_id not in (None, event.changed_by) else [],
    data=lambda event: {
        "project_id": str(event.project_id),
        "task_id": str(event.task_id),
        "title": event.title,
        "status": event.after.replace("_", " "),
    },
    sample={**_SAMPLE, "status": "review"},
    channels=(IN_APP,),
)
ADDED: Final = NotificationKind(
    name=MemberAdded.wire_name,
    title="You are in a project",
    event=MemberAdded,
    recipients=lambda event: [event.user_id] if event.user_id != event.added_by else [],
    data=lambda event: {
        "project_id": str(event.project_id),
        "project_name": event.project_name,
        "role": event.role,
    },
    sample={
        "project_id": "01a20642-0c8c-7e6e-b94c-e5b378cc4910",
        "project_name": "House and garden",
        "role": "member",
    },
    channels=(IN_APP, EMAIL, PUSH),
)

KINDS: Final = (ASSIGNED, MENTIONED, COMMENTED, MOVED, ADDED)
TEMPLATES: Final = read_templates(files("project_management") / "templates", module="project_management")
SUBSCRIPTIONS: Final = tuple(
    notify_on(kind, name=f"project_management.notify_{kind.name.partition('.')[2]}") for kind in KINDS
)
