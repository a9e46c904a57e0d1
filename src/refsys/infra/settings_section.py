"""What all sections of the settings have in common."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def check_http_url(name: str, url: str) -> None:
    """Raise ValueError where it is none. What is wrong may hold a password: it is not shown."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{name} begins with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError(f"{name} holds no user or password: they belong into the inbox's auth")
    if not parts.hostname or parts.port == 0:  # `port` raises for what is no port
        raise ValueError(f"{name} lacks a host")
    parts.hostname.encode("idna")
