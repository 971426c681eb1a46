"""What user management contributes to the platform; read it like a table of contents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from platform_core import hookimpl
from platform_core.declarations import (
    Forgetting,
    GoneModule,
    Migrations,
    Permission,
    Saga,
    Schedule,
    Seed,
    Services,
    Task,
    per_application,
    per_unit_of_work,
)
from platform_core.ports import Execute
from user_management import hookspecs
from user_management.application import accounts, credentials, ports, queries, roles, sessions
from user_management.contracts import MailLinks, UserDirectory
from user_management.domain import PasswordPolicy
from user_management.infrastructure import hashing, links, logins, reads, repositories, tables, tokens
from user_management.seeds import SEEDS
from user_management.settings import UserManagementSettings

if TYPE_CHECKING:
    import typer
    from fastapi import APIRouter


@hookimpl
def register_hookspecs() -> ModuleType:
    return hookspecs


@hookimpl
def register_settings() -> type[UserManagementSettings]:
    return UserManagementSettings


@hookimpl
def register_services() -> Services:
    return Services(
        provides=[
            # for other modules
            per_unit_of_work(UserDirectory, reads.SqlUserDirectory, public=True),
            per_application(MailLinks, links.PublicLinks, public=True),
            # for the use cases here
            per_unit_of_work(ports.UserRepository, repositories.SqlUserRepository),
            per_unit_of_work(ports.RoleRepository, repositories.SqlRoleRepository),
            per_unit_of_work(ports.Sessions, logins.SqlSessions),
            per_unit_of_work(ports.LoginFailures, logins.SqlLoginFailures),
            per_unit_of_work(ports.MailedLinks, links.SqlMailedLinks),
            per_application(ports.PasswordHasher, hashing.bcrypt_hasher),
            per_application(PasswordPolicy, hashing.password_policy),
            per_application(ports.Formats, repositories.StandardFormats),
            per_application(ports.Tokens, tokens.JwtTokens),
            per_application(tokens.KeySet),
            per_application(tokens.BearerAuthenticator),
            per_application(links.LinkTokens),
        ],
        commands={
            accounts.RegisterUser: accounts.register_user,
            accounts.InviteUser: accounts.invite_user,
            accounts.UpdateMe: accounts.update_me,
            accounts.UpdateUser: accounts.update_user,
            accounts.DeleteUser: accounts.delete_user,
            accounts.AssignRole: accounts.assign_role,
            accounts.RevokeRole: accounts.revoke_role,
            accounts.EnsureUser: accounts.ensure_user,
            accounts.MakeAdministrator: accounts.make_administrator,
            credentials.ChangePassword: credentials.change_password,
            credentials.RequestPasswordReset: credentials.request_password_reset,
            credentials.OpenPasswordReset: credentials.open_password_reset,
            credentials.ConfirmPasswordReset: credentials.confirm_password_reset,
            credentials.RequestEmailVerification: credentials.request_email_verification,
            credentials.VerifyEmail: credentials.verify_email,
            sessions.LogIn: sessions.log_in,
            sessions.RefreshTokens: sessions.refresh_tokens,
            sessions.LogOut: sessions.log_out,
            sessions.EndSession: sessions.end_session,
            sessions.PurgeLogins: sessions.purge_logins,
            roles.CreateRole: roles.create_role,
            roles.UpdateRole: roles.update_role,
            roles.DeleteRole: roles.delete_role,
            roles.WithdrawPermissions: roles.withdraw_permissions,
            roles.EnsureBuiltInRoles: roles.ensure_built_in_roles,
        },
        queries={
            queries.GetUser: reads.get_user,
            queries.GetProfile: reads.get_profile,
            queries.ListUsers: reads.list_users,
            queries.ListSessions: reads.list_sessions,
            queries.GetRole: reads.get_role,
            queries.ListRoles: reads.list_roles,
            queries.ListPermissions: reads.list_permissions,
            queries.GetKeySet: reads.get_key_set,
        },
    )


@hookimpl
def register_routes() -> Sequence[APIRouter]:
    from user_management.presentation import ROUTERS

    return ROUTERS


@hookimpl
def register_migrations() -> Migrations:
    return Migrations(Path(__file__).parent / "migrations" / "versions", tables.METADATA)


@hookimpl
def register_seeds() -> Sequence[Seed]:
    return SEEDS


@hookimpl
def register_permissions() -> Sequence[Permission]:
    return [
        Permission("users:read", "See every account"),
        Permission("users:write", "Invite, change, disable and delete accounts"),
        Permission("roles:read", "See roles and what they allow"),
        Permission("roles:write", "Change roles, and who holds them"),
    ]


@hookimpl
def register_forgetting() -> Sequence[Forgetting]:
    return [Forgetting(name="permissions", run=forget_permissions)]


async def forget_permissions(gone: GoneModule, execute: Execute) -> None:
    await execute(roles.WithdrawPermissions(permissions=list(gone.permissions)))


@hookimpl
def register_tasks() -> Sequence[Task | Schedule]:
    return [
        Task(command=credentials.OpenPasswordReset),
        Task(command=sessions.PurgeLogins, audited=False),
        Schedule(
            name="user_management.purge_logins", every=timedelta(hours=1), command=sessions.PurgeLogins()
        ),
    ]


@hookimpl
def register_sagas() -> Sequence[Saga]:
    return [
        Saga(name=accounts.ONBOARDING, hook="onboarding_steps"),
        Saga(name=accounts.OFFBOARDING, hook="offboarding_steps"),
    ]


@hookimpl
def authenticate() -> type[tokens.BearerAuthenticator]:
    return tokens.BearerAuthenticator


@hookimpl
def register_cli() -> typer.Typer:
    from user_management.presentation.cli import commands

    return commands
