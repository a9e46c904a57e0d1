"""Settings of stations and inboxes: how a station wants to be asked, how much, and what is taken from it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from refsys.core.cron import Cron
from refsys.core.times import parse_instant
from refsys.infra.settings_section import Section, check_http_url

_HEADER_NAME: Final = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"


def _check_ftp_url(url: str) -> None:
    """Raise ValueError where it is none. What is wrong may hold a password: it is not shown."""
    parts = urlsplit(url)
    if parts.scheme not in ("ftp", "ftps", "ftpis"):
        raise ValueError("url of an edip inbox begins with ftp://, ftps:// or ftpis://")
    if "@" in parts.netloc:
        raise ValueError("url of an edip inbox holds no user or password: they belong into the inbox's auth")
    if not parts.hostname or parts.port == 0:  # `port` raises for what is no port
        raise ValueError("url of an edip inbox lacks a host")


class HeaderSettings(Section):
    """A header that a station's token endpoint wants besides what RFC 6749 asks for."""

    name: str = Field(pattern=_HEADER_NAME, description="name of the header")
    value: SecretStr = Field(description="its value")


class AuthSettings(Section):
    """How a station wants to be asked."""

    kind: Literal["none", "basic", "oauth2"] = Field("none", description="none, basic or oauth2 (a token is asked for)")
    user: str = Field("", description="user name")
    password: SecretStr = Field(SecretStr(""), description="password")
    token_url: str = Field("", description="token endpoint (oauth2)")
    grant: Literal["password", "client_credentials"] = Field(
        "password", description="what a token is asked for with (oauth2): user and password, or the client's own secret"
    )
    client_id: str = Field("", description="client id (oauth2)")
    client_secret: SecretStr = Field(SecretStr(""), description="client secret (oauth2)")
    client_auth: Literal["body", "basic"] = Field(
        "body", description="where client id and secret go (oauth2): into the form, or as HTTP Basic"
    )
    scope: str = Field("", description="scope that is asked for (oauth2), for example openid; empty = none is named")
    header: tuple[HeaderSettings, ...] = ()
    token_header: str = Field(
        "Authorization",
        pattern=_HEADER_NAME,
        description="header that carries the token to the station: Authorization (as Bearer), or for example "
        "OAUTH2-ACCESS-TOKEN (the token alone)",
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.kind == "basic" and not self.user:
            raise ValueError("kind basic needs user and password")
        if self.kind == "basic" and ":" in self.user:
            raise ValueError("a user of kind basic has no colon in it (RFC 7617)")
        if self.kind == "oauth2":
            self._check_token_request()
        return self

    def _check_token_request(self) -> None:
        if not self.token_url:
            raise ValueError("kind oauth2 needs token_url")
        check_http_url("token_url", self.token_url)
        if self.grant == "password" and not self.user:
            raise ValueError("kind oauth2 needs user and password, or grant client_credentials")
        if not self.client_id and (self.grant == "client_credentials" or self.client_auth == "basic"):
            raise ValueError("grant client_credentials and client_auth basic need client_id")
        names = [header.name.lower() for header in self.header]
        if self.client_auth == "basic" and "authorization" in names:
            raise ValueError("client_auth basic is the header Authorization: name it once")


class ODataSettings(Section):
    """What a station's OData understands beyond what every one does."""

    expand: bool = Field(True, description="QualityInfo of sessions comes with $expand; false = asked for one by one")
    count: bool = Field(True, description="$count=true is understood")
    publication_date: str = Field("PublicationDate", description="name of the attribute with the publication date")
    product_id: str = Field("Id", description="name of the attribute with a product's id")
    product_name: str = Field("Name", description="name of the attribute with a product's name")
    content_length: str = Field("ContentLength", description="name of the attribute with a product's size in bytes")


class StationSettings(Section):
    """A station that inboxes name by `station`: what all of them together may ask of it."""

    name: str = Field(min_length=1, description="name by which inboxes refer to it")
    code: str = Field(
        "",
        pattern=r"^[A-Z0-9_]{0,4}$",
        description="its code in acquisition plans (MPL_SP), as SGS_; empty = not known",
    )
    connections: int = Field(8, ge=1, le=256, description="connections to it at the same time, over all workers")
    bytes_per_s: int = Field(0, ge=0, description="bytes a second that are fetched from it, over all workers; 0 = any")
    redirect_hosts: tuple[str, ...] = Field(
        (), description="hosts (name or name:port) to which it may redirect with our credentials"
    )
    breaker_failures: int = Field(5, ge=1, description="failures in a row after which it is left alone for a while")
    breaker_s: float = Field(30.0, gt=0, description="seconds that it is left alone first; doubles up to ten minutes")
    proxy: str = Field("", description="HTTP proxy (http://host:port) through which it is reached; empty = none")
    odata: ODataSettings = Field(default_factory=ODataSettings)

    @field_validator("redirect_hosts")
    @classmethod
    def _are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not re.fullmatch(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", host):
                raise ValueError(f"names hosts (name or name:port), not {host!a}")
        return tuple(host.lower() for host in hosts)

    @field_validator("proxy")
    @classmethod
    def _is_a_proxy(cls, url: str) -> str:
        if url:
            check_http_url("proxy", url)
            if not url.startswith("http://"):
                raise ValueError("proxy begins with http://: to the proxy itself TLS is not spoken")
        return url


class InboxSettings(Section):
    """A place where products are offered; its `id` is its memory's key and must not change."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="identity of the inbox and its memory")]
    type: Literal["folder", "prip", "cadip", "lta", "xbip", "edip", "s3"] = Field(
        description="folder = a local folder; prip = AUXIP and PRIP, cadip, lta = OData over HTTP; xbip = WebDAV; "
        "edip = FTP or FTPS; s3 = a prefix in a bucket"
    )
    url: str = Field(
        description="folder: its path; prip, cadip, lta: the OData root, for example https://host/odata/v1; "
        "xbip: https://host/NOMINAL/; edip: ftp://host/NOMINAL/, ftps:// (explicit) or ftpis:// (implicit TLS); "
        "s3: s3://bucket/prefix"
    )
    station: str = Field("", description="name of the station, for reports, and of a [[station]] with its limits")
    satellite: str = Field("", pattern=r"^([A-Z0-9]{3})?$", description="cadip: sessions of this satellite only")
    retransfer: bool = Field(False, description="xbip, edip, folder, s3: the sessions here are retransfers")
    timeliness: str = Field("", description="timeliness of its sessions, for their deadline; empty = by mission")
    window: str = Field(
        "",
        description="sampling: cron expression of 6 or 7 fields (sec min hour day month weekday [year], UTC) that a "
        "session's start must match; empty = everything is taken",
    )
    window_auxiliaries: bool = Field(False, description="the window counts for other files than sessions', too")
    directories: bool = Field(False, description="xbip, edip, s3: folders directly below the url are the products")
    encrypt_data: bool = Field(True, description="edip with TLS: data connections have it too; false = PROT C")
    endpoint: str = Field(
        "", description="s3: URL of the S3 service; empty = AWS. The keys are user and password of auth"
    )
    region: str = Field("us-east-1", description="s3: region of the bucket")
    evicted_after_days: float = Field(
        0.0, ge=0, description="days after publication at which the station deletes, where it does not say; 0 = unknown"
    )
    mission: Literal["", "S1", "S2", "S3"] = Field("", description="accept this mission only; empty = any")
    match: str = Field(".*", description="regular expression that the whole name must match")
    ignore: str = Field(
        r"((.*/)?\..*|.*\.tmp|(.*/)?lost\+found(/.*)?)", description="regular expression of names to leave alone"
    )
    since: str = Field("1970-01-01T00:00:00Z", description="ignore what was published up to this instant")
    poll_s: float = Field(10.0, gt=0, description="seconds between two looks")
    overlap_s: float = Field(
        7200.0,
        ge=0,
        description="seconds that each look goes back behind the newest publication seen; cadip: 600 if not set",
    )
    page_size: int = Field(500, ge=1, le=10_000, description="$top of a page")
    on_change: Literal["park", "revise"] = Field("park", description="when a published product comes with other bytes")
    completeness: Literal["strict", "record"] = Field(
        "strict", description="files that the manifest names and that are missing: strict = park, record = note them"
    )
    stable_s: float = Field(
        2.0, ge=0, description="xbip, edip, folder, s3: seconds that size and time must stand still before taking"
    )
    concurrency: int = Field(4, ge=1, le=64, description="downloads from this inbox at the same time")
    auth: AuthSettings = Field(default_factory=AuthSettings, description="how the station wants to be asked")
    verify_tls: bool = Field(True, description="verify the station's certificate")

    @field_validator("match", "ignore")
    @classmethod
    def _is_pattern(cls, text: str) -> str:
        try:
            re.compile(text)
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from error
        return text

    @field_validator("since")
    @classmethod
    def _is_instant(cls, text: str) -> str:
        parse_instant(text)
        return text

    @field_validator("window")
    @classmethod
    def _is_cron(cls, text: str) -> str:
        if text:
            Cron.parse(text)
        return text

    @model_validator(mode="before")
    @classmethod
    def _goes_back(cls, values: Any) -> Any:
        # blocks of sessions are published within minutes of each other, products within hours
        return {"overlap_s": 600.0} | values if isinstance(values, dict) and values.get("type") == "cadip" else values

    @model_validator(mode="after")
    def _is_reachable(self) -> Self:
        if self.type in ("prip", "cadip", "lta", "xbip"):
            check_http_url(f"url of a {self.type} inbox", self.url)
        elif self.type == "edip":
            _check_ftp_url(self.url)
        elif self.type == "s3" and not re.match(r"s3://[^/@]{3,}(/|$)", self.url):
            raise ValueError("url of an s3 inbox is s3://bucket[/prefix]")
        if self.endpoint:
            check_http_url("endpoint", self.endpoint)
        return self
