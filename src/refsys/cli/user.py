"""`refsys user hash`: passwords of local users, fit for the settings file."""

from __future__ import annotations

import typer

app = typer.Typer(help="Local users.", no_args_is_help=True)


@app.command("hash")
def hash_(context: typer.Context) -> None:
    """Print a hash of a password, for `password` of an [[auth.user]].

    The password is asked for, or is the first line of standard input where that is no terminal.
    """
    import sys

    from refsys.core.errors import ConfigurationError
    from refsys.core.passwords import hash_password
    from refsys.web.identity.users import LIMIT

    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt="Once more", err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password or len(password) > LIMIT:
        raise ConfigurationError(f"a password has 1 to {LIMIT} characters")
    typer.echo(str(hash_password(password)))
