"""A module nobody here knows contributes an event, wording and a channel; nothing in `notification` changes."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from uuid import UUID

import pytest

from notification.application.send_email import SendEmail
from platform_core.testing import PlatformFactory, PluginSource, RunningPlatform
from user_management.testing import essentials, sign_up

FILES = {
    "contracts.py": """
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from platform_core.domain import Event


@dataclass(frozen=True, kw_only=True)
class BookDue(Event):
    wire_name: ClassVar[str] = "lending.book_due"
    reader_id: UUID
    title: str
""",
    "pager.py": '''
import importlib
import json
from pathlib import Path

OUT = Path(__file__).with_name("pages.jsonl")


class Pager:
    """A channel that writes to a file."""

    async def send(self, message):
        with OUT.open("a") as out:
            out.write(json.dumps([message.recipient, message.subject, message.text, message.html]) + "\\n")
        return f"page-{message.id}"

    async def check(self):
        return None
''',
    "plugin.py": """
from dataclasses import dataclass
from uuid import UUID

from lending.contracts import BookDue
from lending.pager import Pager
from notification import NotificationChannel, NotificationKind, TemplateSource
from notification.hookspecs import notify_on
from platform_core import hookimpl
from platform_core.declarations import Services, per_application
from platform_core.domain import Command, new_id
from platform_core.ports import Outbox


@dataclass(frozen=True, kw_only=True)
class Remind(Command[None]):
    reader_id: UUID
    title: str


async def remind(command: Remind, outbox: Outbox) -> None:
    due = BookDue(reader_id=command.reader_id, title=command.title)
    outbox.emit(due, aggregate_type="lending.book", aggregate_id=new_id())


BOOK_DUE = NotificationKind(
    name="lending.book_due",
    title="A book is due",
    event=BookDue,
    recipients=lambda event: [event.reader_id, event.reader_id],
    data=lambda event: {"title": event.title},
    sample={"title": "Moby Dick"},
    channels=("in_app", "email", "pager"),
)


@hookimpl
def register_services():
    return Services(provides=[per_application(Pager)], commands={Remind: remind})


@hookimpl
def register_event_handlers():
    return [notify_on(BOOK_DUE, name="lending.notify_book_due")]


@hookimpl
def notification_kinds():
    return [BOOK_DUE]


@hookimpl
def notification_channels():
    return [
        NotificationChannel(
            name="pager",
            title="Pager",
            adapter=Pager,
            address=lambda user: f"pager:{user.username}",
            on_by_default=True,
        ),
        NotificationChannel(name="email", title="Another e-mail", adapter=Pager, address=lambda user: None),
    ]


@hookimpl
def notification_templates():
    due = {"kind": BOOK_DUE.name, "subject": "{{ title }} is due", "text": "Hello {{ name }}, {{ title }} is due."}
    welcome = {"kind": "user_management.user_registered", "subject": "Hi from the library", "text": "{{ link }}"}
    return [
        TemplateSource(channel="email", locale="en", html="<p>{{ title }}</p>", **due),
        TemplateSource(channel="pager", locale="en", **due),
        TemplateSource(channel="email", locale="fr", **(due | {"subject": "{{ title.upper() }}"})),
        TemplateSource(channel="email", locale="en", **welcome),
    ]
""",
}


def library(name: str) -> PluginSource:
    """Return the module under a name of its own: classes of events outlive the test that defined them."""
    return PluginSource(
        name=name,
        requires=["platform-core", "platform-plugin-notification", "platform-plugin-user-management"],
        files={path: text.replace("lending", name) for path, text in FILES.items()},
    )


MODULES = ["user_management", "notification"]


async def remind(p: RunningPlatform, name: str, reader_id: UUID, title: str) -> None:
    await p.execute(importlib.import_module(f"{name}.plugin").Remind(reader_id=reader_id, title=title))


def pages(name: str) -> list[list[str | None]]:
    out: Path = importlib.import_module(f"{name}.pager").OUT
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


async def test_a_strangers_event_becomes_mail_and_page(platform: PlatformFactory) -> None:
    async with platform(MODULES, extra=[library("lending")], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        await remind(p, "lending", eve.id, "Emma\r\nBcc: all@example.org")
        await p.deliver()
        [mail] = p.mails
        assert mail.subject == "Emma Bcc: all@example.org is due"
        assert mail.recipients == (eve.email,)
        assert [page[0] for page in pages("lending")] == ["pager:eve"]
        assert pages("lending")[0][3] is None
        rows = await p.sql(
            "SELECT channel, recipient, status, message_id FROM notification.email_logs ORDER BY channel"
        )
        assert [(row["channel"], row["recipient"], row["status"]) for row in rows] == [
            ("email", eve.email, "sent"),
            ("pager", "pager:eve", "sent"),
        ]
        assert rows[1]["message_id"].startswith("page-")
        [entry] = (await eve.client.get("/api/v1/notifications")).json()["items"]
        assert (entry["kind"], entry["title"]) == ("lending.book_due", "Emma Bcc: all@example.org is due")
        assert entry["data"] == {"title": "Emma\r\nBcc: all@example.org"}
        await p.redeliver("lending.notify_book_due")
        await p.deliver()
        assert (await eve.client.get("/api/v1/notifications/unread-count")).json() == {"count": 1}
        assert (len(p.mails), len(pages("lending"))) == (1, 1), "a repeated event tells nobody twice"


async def test_a_strangers_kind_and_channel_can_be_switched_off_and_reworded(
    platform: PlatformFactory,
) -> None:
    async with platform(MODULES, extra=[library("lending_b")], seed=essentials) as p:
        eve = await sign_up(p, "eve", permissions=["notifications:write"])
        url = "/api/v1/notifications/preferences"
        assert (await eve.client.get(url)).json()["channels"]["pager"] is True
        answer = await eve.client.put(url, json={"kinds": {"lending_b.book_due": {"email": False}}})
        assert answer.status_code == 200, answer.text
        own = {
            "kind": "lending_b.book_due",
            "channel": "pager",
            "locale": "en",
            "subject": "Bring it back",
            "text": "{{ title }}!",
        }
        answer = await eve.client.post("/api/v1/notifications/templates", json=own)
        assert answer.status_code == 201, answer.text
        await remind(p, "lending_b", eve.id, "Emma")
        await p.deliver()
        assert p.mails == ()
        assert pages("lending_b") == [["pager:eve", "Bring it back", "Emma!", None]]
        answer = await eve.client.put(url, json={"channels": {"pager": False, "email": False}})
        assert answer.status_code == 200, answer.text
        await remind(p, "lending_b", eve.id, "Emma")
        await p.deliver()
        assert len(pages("lending_b")) == 1


async def test_what_is_wrong_with_contributions_is_logged_and_costs_only_itself(
    platform: PlatformFactory, caplog: pytest.LogCaptureFixture
) -> None:
    async with platform(MODULES, extra=[library("lending_c")], seed=essentials) as p:
        assert "lending_c contributes the channel email, which there is already" in caplog.text
        assert "lending_c contributes an unusable template for lending_c.book_due/email/fr" in caplog.text
        body = {"email": "ada@example.org", "username": "ada", "password": "a long enough sentence"}
        assert (await p.client.post("/api/v1/users/register", json=body)).status_code == 201
        await p.deliver()
        assert p.mails[0].subject == "Hi from the library", "a later module's wording counts"


async def test_a_notification_whose_kind_is_gone_is_a_dead_letter_and_a_mail_of_it_a_failure(
    platform: PlatformFactory, mail_server: object
) -> None:
    async with platform(MODULES, extra=[library("lending_d")], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        await remind(p, "lending_d", eve.id, "Emma")
        await remind(p, "lending_d", eve.id, "Persuasion")
        worker = p.kernel.worker()
        await worker.run_until_idle()
        [first, *_] = await p.sql("SELECT id FROM notification.email_logs WHERE channel = 'email'")
        await p.sql("UPDATE notification.email_logs SET status = 'queued', sent_at = NULL")
        await p.sql(
            "UPDATE platform.deliveries SET status = 'pending' WHERE handler = 'notification.notification_requested'"
        )
        await p.sql("DELETE FROM notification.email_logs WHERE id <> %(id)s", id=first["id"])
        async with platform(MODULES, beside=p) as other:
            await other.execute(SendEmail(email_id=first["id"]))
            [row] = await p.sql("SELECT status, error FROM notification.email_logs")
            assert (row["status"], row["error"]) == (
                "failed",
                "there is no usable template for lending_d.book_due",
            )
            await other.deliver(skip_waits=True)
            letters = await other.deliveries("notification.notification_requested")
            assert {letter.status for letter in letters} == {"dead"}
            assert "no installed module contributes the kind lending_d.book_due" in (
                letters[0].last_error or ""
            )
