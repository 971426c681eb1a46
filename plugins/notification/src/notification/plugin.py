"""What `notification` offers the platform, hook by hook."""

from __future__ import annotations

from collections.abc import Sequence
from email.headerregistry import Address
from importlib.resources import files
from pathlib import Path
from types import ModuleType

from notification import hookspecs
from notification.application.account_kinds import ACCOUNT_KINDS
from notification.application.announcements import ANNOUNCEMENT, Announce, announce
from notification.application.catalogue import Catalogue
from notification.application.devices import (
    GetPushKey,
    ListDevices,
    RegisterDevice,
    RemoveDevice,
    register_device,
    remove_device,
)
from notification.application.email_logs import ListEmailLogs
from notification.application.housekeeping import PURGE_EVERY, PurgeOld, forget_user, purge_old
from notification.application.inbox import (
    CountUnread,
    DeleteNotification,
    ListNotifications,
    MarkAllRead,
    MarkRead,
    delete_notification,
    mark_all_read,
    mark_read,
)
from notification.application.notify import (
    Notifier,
    NotifyRecipients,
    announcing,
    notify_recipients,
    notify_requested,
)
from notification.application.onboarding import READY, Welcome, welcome, welcoming
from notification.application.ports import (
    AddressBook,
    Channels,
    DeviceRepository,
    EmailRepository,
    Inbox,
    PreferencesRepository,
    Renderer,
    TemplateRepository,
)
from notification.application.preferences import GetPreferences, SetPreferences, set_preferences
from notification.application.quiet_hours import (
    DIGEST,
    RELEASE_QUIET_EVERY,
    Release,
    ReleaseQuietMessages,
    release_quiet_messages,
)
from notification.application.send_email import (
    RELEASE_EVERY,
    ReleaseHeldEmails,
    SendEmail,
    SendPush,
    SendText,
    Writer,
    release_held_emails,
    send_email,
)
from notification.application.stream import FollowInbox
from notification.application.templates import (
    CreateTemplate,
    DeleteTemplate,
    GetTemplate,
    ListTemplates,
    PreviewTemplate,
    ReplaceTemplate,
    create_template,
    delete_template,
    replace_template,
)
from notification.application.wording import Site, Wording
from notification.contracts import (
    EMAIL,
    PUSH,
    SMS,
    NotificationChannel,
    NotificationKind,
    NotificationRequested,
    TemplateSource,
)
from notification.domain import ATTEMPTS_COUNT
from notification.infrastructure import inbox, queries
from notification.infrastructure.addresses import Addresses
from notification.infrastructure.channels import ContributedChannels
from notification.infrastructure.push import PushChannel
from notification.infrastructure.rendering import JinjaRenderer
from notification.infrastructure.repositories import (
    SqlDeviceRepository,
    SqlEmailRepository,
    SqlPreferencesRepository,
    SqlTemplateRepository,
)
from notification.infrastructure.sms import SmsChannel
from notification.infrastructure.smtp import SmtpChannel, mail_host
from notification.infrastructure.stream import follow_inbox
from notification.infrastructure.tables import metadata
from notification.presentation import ROUTERS
from notification.seeds import SEEDS
from notification.settings import NotificationSettings
from platform_core import hookimpl
from platform_core.declarations import (
    HealthCheck,
    Migrations,
    Permission,
    Retry,
    SagaStep,
    Schedule,
    Seed,
    Services,
    Subscription,
    Task,
    on,
    per_application,
    per_unit_of_work,
)
from platform_core.http import Router
from platform_core.outbound import Outbound
from platform_core.ports import Clock
from platform_core.settings import KernelSettings
from user_management import UserDeleted
from user_management.hookspecs import WELCOME


@hookimpl
def register_hookspecs() -> ModuleType:
    return hookspecs


@hookimpl
def register_settings() -> type[NotificationSettings]:
    return NotificationSettings


@hookimpl
def register_services() -> Services:
    return Services(
        provides=[
            per_unit_of_work(EmailRepository, SqlEmailRepository),
            per_unit_of_work(DeviceRepository, SqlDeviceRepository),
            per_unit_of_work(PreferencesRepository, SqlPreferencesRepository),
            per_unit_of_work(TemplateRepository, SqlTemplateRepository),
            per_unit_of_work(Inbox, inbox.SqlInbox),
            per_unit_of_work(AddressBook, Addresses),
            per_unit_of_work(Notifier),
            per_unit_of_work(Release),
            per_unit_of_work(Writer),
            per_application(Renderer, JinjaRenderer),
            per_application(Catalogue),
            per_application(Channels, ContributedChannels),
            per_application(SmtpChannel, smtp_channel),
            per_application(SmsChannel, sms_channel),
            per_application(PushChannel, push_channel),
            per_application(Site, site),
            per_application(Wording),
        ],
        commands={
            SendEmail: send_email,
            SendPush: send_email,
            SendText: send_email,
            ReleaseHeldEmails: release_held_emails,
            Announce: announce,
            Welcome: welcome,
            NotifyRecipients: notify_recipients,
            MarkRead: mark_read,
            MarkAllRead: mark_all_read,
            DeleteNotification: delete_notification,
            ReleaseQuietMessages: release_quiet_messages,
            PurgeOld: purge_old,
            SetPreferences: set_preferences,
            RegisterDevice: register_device,
            RemoveDevice: remove_device,
            CreateTemplate: create_template,
            ReplaceTemplate: replace_template,
            DeleteTemplate: delete_template,
        },
        queries={
            ListNotifications: inbox.list_notifications,
            CountUnread: inbox.count_unread,
            FollowInbox: follow_inbox,
            ListDevices: queries.list_devices,
            GetPushKey: queries.get_push_key,
            GetPreferences: queries.get_preferences,
            ListTemplates: queries.list_templates,
            GetTemplate: queries.get_template,
            PreviewTemplate: queries.preview_template,
            ListEmailLogs: queries.list_email_logs,
        },
    )


@hookimpl
def register_routes() -> Sequence[Router]:
    return ROUTERS


@hookimpl
def register_permissions() -> Sequence[Permission]:
    return [
        Permission("notifications:read", "See which mails went out"),
        Permission("notifications:write", "Word notifications differently"),
    ]


@hookimpl
def register_migrations() -> Migrations:
    return Migrations(Path(__file__).parent / "migrations" / "versions", metadata)


@hookimpl
def register_event_handlers() -> Sequence[Subscription]:
    accounts = [
        on(kind.event, announcing(kind), name=f"notification.{kind.name.partition('.')[2]}")
        for kind in ACCOUNT_KINDS
        if kind.event is not None
    ]
    return [
        *accounts,
        on(NotificationRequested, notify_requested, name="notification.notification_requested"),
        on(UserDeleted, forget_user, name="notification.forget_user"),
    ]


@hookimpl
def register_tasks() -> Sequence[Task | Schedule]:
    return [
        *(
            Task(
                command=command,
                retry=Retry(attempts_count=ATTEMPTS_COUNT, first_seconds=1, longest_seconds=1800),
                timeout_seconds=45,
                # a server that hangs occupies four of a worker's places, not all, and none of the other channels'
                concurrency_count=4,
                # the log of messages says it all, and nobody decided on the attempt
                audited=False,
            )
            for command in (SendEmail, SendPush, SendText)
        ),
        Task(command=NotifyRecipients, audited=False),
        Task(command=ReleaseHeldEmails, audited=False),
        Task(command=PurgeOld, audited=False, concurrency_count=1),
        Schedule(name="notification.purge_old", every=PURGE_EVERY, command=PurgeOld()),
        Task(command=ReleaseQuietMessages, audited=False, concurrency_count=1),
        Schedule(name="notification.release_held_emails", every=RELEASE_EVERY, command=ReleaseHeldEmails()),
        Schedule(
            name="notification.release_quiet_messages",
            every=RELEASE_QUIET_EVERY,
            command=ReleaseQuietMessages(),
        ),
    ]


@hookimpl
def register_seeds() -> Sequence[Seed]:
    return SEEDS


@hookimpl
def register_health_checks() -> Sequence[HealthCheck]:
    return [HealthCheck(name="mail", check=check_mail)]


@hookimpl
def notification_channels() -> Sequence[NotificationChannel]:
    return [
        NotificationChannel(
            name=EMAIL,
            title="E-mail",
            adapter=SmtpChannel,
            address=lambda user: str(user.email),
            on_by_default=True,
        ),
        NotificationChannel(
            name=SMS,
            title="Text message",
            adapter=SmsChannel,
            address=lambda user: user.phone_number,
            waits=False,
        ),
        # where it reaches people their devices tell
        NotificationChannel(
            name=PUSH, title="Push", adapter=PushChannel, address=lambda user: None, waits=False
        ),
    ]


@hookimpl
def notification_kinds() -> Sequence[NotificationKind]:
    return [*ACCOUNT_KINDS, ANNOUNCEMENT, DIGEST, READY]


@hookimpl
def notification_templates() -> Sequence[TemplateSource]:
    folder = files("notification") / "templates"
    return [
        *hookspecs.read_templates(folder, module="user_management"),
        *hookspecs.read_templates(folder / "own", module="notification"),
    ]


@hookimpl
def onboarding_steps() -> Sequence[SagaStep]:
    return [SagaStep(name="notification.welcome", action=welcoming, critical=False, rank=WELCOME)]


async def check_mail(channel: SmtpChannel) -> None:
    """Tell whether the mail server answers."""
    await channel.check()


def site(kernel: KernelSettings, settings: NotificationSettings) -> Site:
    """What every mail says about the platform."""
    return Site(name=settings.from_name, url=kernel.public_url)


def sms_channel(settings: NotificationSettings) -> SmsChannel:
    """Make the way out for text messages."""
    return SmsChannel(
        url=settings.sms_url,
        authorization=settings.sms_authorization,
        sender=settings.sms_sender,
        body=settings.sms_body,
        outbound=Outbound(),
    )


def push_channel(kernel: KernelSettings, settings: NotificationSettings, clock: Clock) -> PushChannel:
    """Make the way out for messages to devices."""
    sender = settings.from_address or f"no-reply@{mail_host(kernel.public_url)}"
    return PushChannel(
        key=settings.vapid_private_key,
        contact=settings.vapid_contact or f"mailto:{sender}",
        hosts=settings.push_hosts,
        clock=clock,
        outbound=Outbound(),
    )


def smtp_channel(kernel: KernelSettings, settings: NotificationSettings, clock: Clock) -> SmtpChannel:
    """Make the way out for mails."""
    host = mail_host(kernel.public_url)
    address = settings.from_address or f"no-reply@{host}"
    return SmtpChannel(
        url=kernel.smtp_url,
        sender=Address(display_name=settings.from_name, addr_spec=address),
        host=host,
        clock=clock,
        connect_timeout_seconds=settings.connect_timeout_seconds,
        send_timeout_seconds=settings.send_timeout_seconds,
    )
