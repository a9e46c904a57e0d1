"""Where the backing services are: the ones that the settings name, else the embedded ones of the state folder."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from refsys.core.errors import RefsysError
from refsys.infra.runfile import is_held
from refsys.infra.settings import Settings
from refsys.runtime.embedded import dsn_of


def postgres_folder(state_dir: Path) -> Path:
    """Where the embedded PostgreSQL lives."""
    return state_dir / "postgresql"


def logs_folder(state_dir: Path) -> Path:
    return state_dir / "logs"


def connect(settings: Settings) -> str:
    """The dsn of the database: `database_url`, else the embedded server that runs in the state folder.

    Raises RefsysError where neither is there.
    """
    url = settings.database_url.get_secret_value()
    if url:
        return url
    if not is_held(settings.state_dir):
        raise RefsysError(
            "no system is running in this folder",
            subject=str(settings.state_dir),
            advice="start it with `refsys up`, name its folder with --state, or set database_url",
        )
    return dsn_of(postgres_folder(settings.state_dir))


def describe_database(settings: Settings) -> str:
    """The database in words, without secrets."""
    url = settings.database_url.get_secret_value()
    if not url:
        return "embedded PostgreSQL"
    parts = urlsplit(url)
    return f"PostgreSQL at {parts.hostname or 'a local socket'}, database {parts.path.lstrip('/') or 'postgres'}"


def describe_storage(settings: Settings) -> str:
    """The storage in words."""
    return settings.storage_url or f"folder {settings.state_dir / 'storage'}"
