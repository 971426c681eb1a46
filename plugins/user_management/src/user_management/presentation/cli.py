"""`platform users`: what an operator does with accounts from a shell."""

from __future__ import annotations

import sys
from typing import Final

import typer

from platform_core.cli import with_kernel
from user_management.application import MakeAdministrator
from user_management.domain.passwords import SHORTEST

commands: Final = typer.Typer(name="users", help="Accounts: make an administrator.", no_args_is_help=True)


@commands.command(epilog="Example: platform users create-admin ada@example.com --username ada")
def create_admin(
    email: str = typer.Argument(help="The administrator's e-mail address."),
    username: str = typer.Option("admin", help="The username, if the account is a new one."),
    password_stdin: bool = typer.Option(
        False, "--password-stdin", help="Read the password from the first line of standard input."
    ),
) -> None:
    """
    Make an account that may do everything, or turn the one with this address into it.

    The password is asked for; it counts for an existing account too, whose sessions end.
    """
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else _asked()
    command = MakeAdministrator(email=email, username=username, password=password)
    with_kernel(lambda kernel: kernel.bus.execute(command))
    typer.echo(f"{email} may do everything.")


def _asked() -> str:
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody is there to ask for a password; use --password-stdin")
    return str(
        typer.prompt(f"Password ({SHORTEST} characters or more)", hide_input=True, confirmation_prompt=True)
    )
