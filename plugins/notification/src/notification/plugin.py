"""What `notification` offers the platform, hook by hook."""

from __future__ import annotations

from collections.abc import Sequence
from email.headerregistry import Address
from importlib.resources import files
from pathlib import Path
from types import ModuleType

from notification import hookspecs
from notification.application.account_kinds import ACCOUNT_KINDS
from notification.application.catalogue import Catalogue
from notification.application.email_logs import ListEmailLogs
from notification.application.notify import Notifier, announcing, notify_requested
from notification.application.ports import (
    Channels,
    EmailRepository,
    PreferencesRepository,
    Renderer,
    TemplateRepository,
)
from notification.application.preferences import GetPreferences, SetPreferences, set_preferences
from notification.application.send_email import (
    RELEASE_EVERY,
    ReleaseHeldEmails,
    SendEmail,
    Site,
    Writer,
    release_held_emails,
    send_email,
)
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
from notification.contracts import (
    EMAIL,
    NotificationChannel,
    NotificationKind,
    NotificationRequested,
    TemplateSource,
)
from notification.domain import ATTEMPTS_COUNT
from notification.infrastructure import queries
from notification.infrastructure.channels import ContributedChannels
from notification.infrastructure.rendering import JinjaRenderer
from notification.infrastructure.repositories import (
    SqlEmailRepository,
    SqlPreferencesRepository,
    SqlTemplateRepository,
)
from notification.infrastructure.smtp import SmtpChannel, mail_host
from notification.infrastructure.tables import metadata
from notification.presentation import router
from notification.settings import NotificationSettings
from platform_core import hookimpl
from platform_core.declarations import (
    HealthCheck,
    Migrations,
    Permission,
    Retry,
    Schedule,
    Services,
    Subscription,
    Task,
    on,
    per_application,
    per_unit_of_work,
)
from platform_core.http import Router
from platform_core.ports import Clock
from platform_core.settings import KernelSettings


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
            per_unit_of_work(PreferencesRepository, SqlPreferencesRepository),
            per_unit_of_work(TemplateRepository, SqlTemplateRepository),
            per_unit_of_work(Notifier),
            per_unit_of_work(Writer),
            per_application(Renderer, JinjaRenderer),
            per_application(Catalogue),
            per_application(Channels, ContributedChannels),
            per_application(SmtpChannel, smtp_channel),
            per_application(Site, site),
        ],
        commands={
            SendEmail: send_email,
            ReleaseHeldEmails: release_held_emails,
            SetPreferences: set_preferences,
            CreateTemplate: create_template,
            ReplaceTemplate: replace_template,
            DeleteTemplate: delete_template,
        },
        queries={
            GetPreferences: queries.get_preferences,
            ListTemplates: queries.list_templates,
            GetTemplate: queries.get_template,
            PreviewTemplate: queries.preview_template,
            ListEmailLogs: queries.list_email_logs,
        },
    )


@hookimpl
def register_routes() -> Sequence[Router]:
    return [router]


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
    ]


@hookimpl
def register_tasks() -> Sequence[Task | Schedule]:
    return [
        Task(
            command=SendEmail,
            retry=Retry(attempts_count=ATTEMPTS_COUNT, first_seconds=1, longest_seconds=1800),
            timeout_seconds=45,
            # a mail server that hangs occupies four of a worker's places, not all
            concurrency_count=4,
            # the log of mails says it all, and nobody decided on the attempt
            audited=False,
        ),
        Task(command=ReleaseHeldEmails, audited=False),
        Schedule(name="notification.release_held_emails", every=RELEASE_EVERY, command=ReleaseHeldEmails()),
    ]


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
        )
    ]


@hookimpl
def notification_kinds() -> Sequence[NotificationKind]:
    return ACCOUNT_KINDS


@hookimpl
def notification_templates() -> Sequence[TemplateSource]:
    return hookspecs.read_templates(files("notification") / "templates", module="user_management")


async def check_mail(channel: SmtpChannel) -> None:
    """Tell whether the mail server answers."""
    await channel.check()


def site(kernel: KernelSettings, settings: NotificationSettings) -> Site:
    """What every mail says about the platform."""
    return Site(name=settings.from_name, url=kernel.public_url)


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
