"""
Every point where a plugin extends the platform.

A hook is a plain function that returns declarations. The kernel calls each once per start, plugin by plugin in
dependency order, and does the registering and the I/O itself; it never passes a connection or a loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from platform_core import PROJECT_NAME
from platform_core.deprecations import Deprecated, mark_deprecated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    import typer
    from fastapi import APIRouter
    from pydantic import BaseModel

    from platform_core.declarations import (
        Companion,
        Forgetting,
        HealthCheck,
        Migrations,
        Permission,
        Projection,
        Saga,
        Schedule,
        Seed,
        Services,
        Subscription,
        Task,
    )
    from platform_core.security import Authenticator

hookspec = pluggy.HookspecMarker(PROJECT_NAME)

F = TypeVar("F", bound="Callable[..., Any]")


def deprecated_hook(deprecation: Deprecated) -> Callable[[F], F]:
    """Specify a hook as `hookspec` does, and warn whoever implements it."""

    def specify(function: F) -> F:
        mark_deprecated(function, deprecation)
        return hookspec(warn_on_impl=deprecation.warning(f"the hook {function.__name__}"))(function)

    return specify


@hookspec
def register_settings() -> type[BaseModel]:  # type: ignore[empty-body]  # a specification has no body
    """
    Offer the plugin's settings, read from `PLATFORM_<MODULE>_<FIELD>`, or from what a field's `alias` says.

    When called: first of all hooks, before any service is made.
    Return: a pydantic model class; each field has a description, secrets are `SecretStr` without a default.
        A required secret says how `platform dev` and tests make one: `Field(json_schema_extra={"development":
        "secret"})` for random text, `"ed25519"` for a private key as PEM; production refuses those.
    Must not: read the environment itself.
    On error: an optional plugin is listed as failed, a required one stops the start; the field is named.
    Since: 0.1
    """


@hookspec
def register_services() -> Services:  # type: ignore[empty-body]  # as above
    """
    Offer facades, adapters, command handlers and queries, resolved by the types of their parameters.

    When called: once per start, after settings.
    Return: `Services`; whatever a handler or factory asks for must be provided by this plugin, by the kernel,
        or publicly by a plugin that the manifest allows to be queried.
    Must not: make connections; an application-wide factory does that later, in the lifespan.
    On error: the plugin fails with the missing type, who asked for it, and a hint.
    Since: 0.1
    """


@hookspec
def register_routes() -> Sequence[APIRouter]:  # type: ignore[empty-body]  # as above
    """
    Offer HTTP routes; the kernel mounts them under `/api/v1` and adds every ground rule of the contract.

    When called: once per start, in processes that serve HTTP and where the OpenAPI document is written.
    Return: routers made with `platform_core.http.Router`; every path begins with one of the manifest's `paths`.
    Must not: add middleware, exception handlers or lifespans.
    On error: the plugin fails; its `paths` answer 503 if it is optional.
    Since: 0.1
    """


@hookspec
def register_migrations() -> Migrations:  # type: ignore[empty-body]  # as above
    """
    Offer the plugin's Alembic revisions and the tables they amount to.

    When called: by `platform db …`, and at start to know what is pending.
    Return: `Migrations`; revisions touch the plugin's own schema only.
    Must not: import other plugins' tables, or connect.
    On error: the plugin fails before any migration of any plugin has run.
    Since: 0.1
    """


@hookspec
def register_event_handlers() -> Sequence[Subscription]:  # type: ignore[empty-body]  # as above
    """
    Offer handlers of published events, of this plugin or of plugins named in the manifest's `consumes`.

    When called: once per start.
    Return: subscriptions; names begin with the plugin's name and never change once released.
    Must not: rely on order across aggregates, or on being called once (effects in PostgreSQL are exactly once).
    On error: the plugin fails; deliveries of its handlers wait.
    Since: 0.1
    """


@hookspec
def register_projections() -> Sequence[Projection]:  # type: ignore[empty-body]  # as above
    """
    Offer read models, which are made of events: of those to come, and of those that there have been.

    When called: once per start.
    Return: projections with their handlers, which are not to be repeated in `register_event_handlers`.
    Must not: have handlers that do anything but write the projection's own tables.
    On error: the plugin fails; its read models stay as they are.
    Since: 0.1
    """


@hookspec
def register_seeds() -> Sequence[Seed]:  # type: ignore[empty-body]  # as above
    """
    Offer the data this plugin needs to be usable.

    When called: once per seed run, after every migration, in plugin order.
    Return: seeds in the order they must run; an empty sequence is fine.
    Must not: touch the database or the network; a `Seed` does that later, inside its own commands.
    On error: the run stops before any seed starts; the plugin is named.
    Since: 0.1
    """


@hookspec
def register_permissions() -> Sequence[Permission]:  # type: ignore[empty-body]  # as above
    """
    Offer the rights that routes of this plugin ask for.

    When called: once per start.
    Return: permissions named `<things>:<verb>`; a route that asks for an undeclared one is an error.
    Must not: declare a permission that another plugin declares.
    On error: the plugin fails.
    Since: 0.1
    """


@hookspec
def register_tasks() -> Sequence[Task | Schedule]:  # type: ignore[empty-body]  # as above
    """
    Offer commands that may run later, and clocks that run them.

    When called: once per start.
    Return: tasks and schedules; every scheduled command's type is one of the tasks.
    Must not: hold secrets in a scheduled command.
    On error: the plugin fails.
    Since: 0.1
    """


@hookspec
def register_sagas() -> Sequence[Saga]:  # type: ignore[empty-body]  # as above
    """
    Offer sagas: commands of several modules that all take effect, or none in the end.

    When called: once per start.
    Return: sagas, every version of which runs may be left; names begin with the plugin's name.
    Must not: decide anything in the functions that make commands; they only pass on what the run holds.
    On error: the plugin fails; runs of its sagas wait, and operators see why.
    Since: 0.1
    """


@hookspec
def register_health_checks() -> Sequence[HealthCheck]:  # type: ignore[empty-body]  # as above
    """
    Offer lines of `/health/ready`; a failing one makes the platform `degraded`, never unready.

    When called: once per start; the checks themselves run with each request for readiness.
    Return: checks.
    Must not: take longer than their own time-out.
    On error: the plugin fails.
    Since: 0.1
    """


@hookspec
def register_forgetting() -> Sequence[Forgetting]:  # type: ignore[empty-body]  # as above
    """
    Offer to forget what this plugin keeps under the names of another one, such as its permissions in roles.

    When called: once per start; what is offered runs when `platform modules remove --purge` takes a module away, after
        its tables and before its name.
    Return: what there is to forget, each with an idempotent function that goes through commands.
    Must not: forget what users wrote, or what is history.
    On error: the plugin fails; where a function raises, the purge stops and goes on at the next try.
    Since: 0.1
    """


@hookspec
def register_cli() -> typer.Typer:  # type: ignore[empty-body]  # as above
    """
    Offer a group of commands, `platform <group> …`, named as the Typer application is.

    The manifest announces it (`[commands]`, then `users = "Accounts, from the command line."`), so that help can
    list it without importing the plugin. A command is a synchronous function; one that needs the platform asks for it
    by `platform_core.cli.with_kernel`, acts as the platform itself, and prints what came of it. An error that it lets
    through ends the process with 1 and the error's message.

    Example, in presentation, from which this hook imports it when it is called:
        commands = typer.Typer(name="users", help="Accounts.", no_args_is_help=True)

        @commands.command(help="Make an administrator.", epilog="Example: platform users create-admin ada@example.com")
        def create_admin(email: Annotated[str, typer.Argument(help="Whose account it is.")]) -> None:
            with_kernel(lambda kernel: kernel.bus.execute(CreateAdmin(email=email)))
            typer.echo(f"{email} may do everything.")

    When called: only when a command line names a group that this plugin's manifest announces.
    Return: a Typer application with its `name` set; each command's help has an example.
    Must not: shadow a group of the kernel or of another plugin.
    On error: the group is left out and named on stderr; every other command works.
    Since: 0.1
    """


@hookspec
def authenticate() -> type[Authenticator]:  # type: ignore[empty-body]  # as above
    """
    Offer a way to prove who is asking.

    When called: once per start.
    Return: the type of an `Authenticator` that this plugin's services provide, one per process.
    Must not: share a scheme with another plugin.
    On error: the plugin fails, and requests with that scheme get 401.
    Since: 0.1
    """


@hookspec
def register_companions() -> Sequence[Companion]:  # type: ignore[empty-body]  # as above
    """
    Offer stand-ins for what this plugin talks to outside, so that `platform dev` needs nothing but itself.

    When called: by `platform dev`, before settings are read.
    Return: companions; each is served on this machine only, and its address set as the variable that it names.
    Must not: be needed in production.
    On error: the plugin fails.
    Since: 0.1
    """


@hookspec
def register_hookspecs() -> ModuleType:  # type: ignore[empty-body]  # as above
    """
    Offer extension points of this plugin's own, for plugins that depend on it.

    When called: right after import, before any other hook of any later plugin.
    Return: a module of functions marked with `platform_core.hookspecs.hookspec`.
    Must not: reuse the name of a hook of the kernel or of another plugin.
    On error: the plugin fails, and so do those that implement its hooks.
    Since: 0.1
    """
