"""`refsys serve ROLE`: one role in the foreground, against the services that the settings name."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)


def serve(context: typer.Context, role: str = typer.Argument(help="api, worker or ingest")) -> None:
    """Run one role (what a container runs).

    Never migrates: waits until the schema is right, or refuses.
    """
    import os
    import socket

    from refsys.cli.context import load
    from refsys.core.errors import ConfigurationError
    from refsys.infra.logs import configure_logs
    from refsys.runtime.roles import ROLES, run

    if role not in ROLES:
        raise ConfigurationError(f"{role!r} is not a role", advice=f"one of {', '.join(sorted(ROLES))}")
    settings = load(context)
    name = f"{role}-{socket.gethostname()}-{os.getpid()}"
    configure_logs(level=settings.log.level, process=name)
    run(role, settings, name=name)
