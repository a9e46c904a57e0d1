"""Settings: one annotated TOML file; precedence flag > environment > file > default."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

import orjson
from pydantic import Field, SecretStr, field_validator, model_validator

from refsys.core.errors import ConfigurationError
from refsys.core.hosts import is_loopback
from refsys.core.passwords import is_hash, read_hash
from refsys.infra.layers import load_layers
from refsys.infra.settings_section import Section, check_http_url
from refsys.infra.settings_stations import (
    AuthSettings,
    HeaderSettings,
    InboxSettings,
    ODataSettings,
    StationSettings,
)

__all__ = [
    "NOT_SETTINGS",
    "PREFIX",
    "AccessSettings",
    "AuthSettings",
    "DownloadSettings",
    "FetchSettings",
    "HeaderSettings",
    "HttpSettings",
    "InboxSettings",
    "LogSettings",
    "ODataSettings",
    "PripSettings",
    "ProviderSettings",
    "S3Settings",
    "SessionPolicy",
    "SessionSettings",
    "Settings",
    "StacSettings",
    "StationSettings",
    "SubscriptionSettings",
    "UserSettings",
    "WorkSettings",
    "load_settings",
    "settings_from_json",
]

PREFIX: Final = "REFSYS_"
#: Variables with our prefix that are not settings: the settings file, and where real products lie for the tests.
NOT_SETTINGS: Final = frozenset({"REFSYS_CONFIG", "REFSYS_SHARED"})


class S3Settings(Section):
    """Access to the object storage, where `storage_url` is `s3://bucket[/prefix]`."""

    endpoint: str = Field("", description="URL of the S3 service; empty for AWS itself")
    public_endpoint: str = Field(
        "", description="URL under which users reach the S3 service, for download.links; empty = as endpoint"
    )
    region: str = Field("us-east-1", description="region of the bucket")
    access_key_id: str = Field("", description="access key")
    secret_access_key: SecretStr = Field(SecretStr(""), description="secret key")
    allow_http: bool = Field(False, description="accept an endpoint without TLS")

    @model_validator(mode="after")
    def _is_tls_unless_allowed(self) -> Self:
        for name in ("endpoint", "public_endpoint"):
            if getattr(self, name).startswith("http://") and not self.allow_http:
                raise ValueError(f"{name} begins with http://; set allow_http = true to accept that")
        return self

    @model_validator(mode="after")
    def _key_is_whole(self) -> Self:
        if bool(self.access_key_id) != bool(self.secret_access_key.get_secret_value()):
            raise ValueError("access_key_id and secret_access_key come together or not at all")
        return self


class HttpSettings(Section):
    """The HTTP application."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(0, ge=0, le=65535, description="port; 0 = a free one, chosen once and kept in the state folder")
    processes: int = Field(2, ge=1, le=64, description="API processes that share the port")
    public_url: str = Field("", description="URL under which users reach the service; empty = http://host:port")
    proxies: tuple[str, ...] = Field(
        ("127.0.0.1", "::1"),
        description="addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed",
    )
    operations_token: SecretStr = Field(
        SecretStr(""),
        description="bearer token that /operations asks of every client (16 characters or more); empty = it answers "
        "only clients on this machine",
    )

    @field_validator("proxies")
    @classmethod
    def _are_networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for text in proxies:
            try:
                ipaddress.ip_network(text)
            except ValueError as error:
                raise ValueError(f"names addresses or networks (10.0.0.0/8), not {text!a}") from error
        return proxies

    @field_validator("operations_token")
    @classmethod
    def _is_a_token(cls, token: SecretStr) -> SecretStr:
        text = token.get_secret_value()
        if text and not re.fullmatch(r"[!-~]{16,}", text):
            raise ValueError("has 16 visible ASCII characters or more, no spaces")
        return token


class PripSettings(Section):
    """The PRIP root, `/prip/odata/v1`."""

    quota: int = Field(5000, ge=1, description="most products that a query may find which does not say `$top`")


class SubscriptionSettings(Section):
    """What users are told of by subscriptions, and how it is sent to their endpoints."""

    per_user: int = Field(50, ge=1, description="subscriptions of one user")
    running_per_user: int = Field(10, ge=1, description="running ones among them")
    queue_length: int = Field(
        100_000, ge=1, description="notifications that wait for one subscription; further ones wait in the change feed"
    )
    streams_per_user: int = Field(5, ge=1, description="streams of events of one user, in each API process")
    push_concurrency: int = Field(8, ge=1, le=256, description="endpoints that one worker sends to at the same time")
    push_timeout_s: float = Field(30.0, gt=0, description="seconds that an endpoint gets to answer")
    backoff_s: float = Field(5.0, gt=0, description="first pause after a failed push; doubles, with jitter")
    backoff_limit_s: float = Field(3600.0, gt=0, description="longest pause after a failed push")
    give_up_s: float = Field(
        3 * 86_400.0, gt=0, description="seconds of failing pushes after which a subscription is paused without loss"
    )
    private_endpoints: bool = Field(
        False, description="send to endpoints at private and loopback addresses too: users then reach the inner network"
    )


class DownloadSettings(Section):
    """Products on their way to users."""

    per_user: int = Field(
        4,
        ge=0,
        le=1000,
        description="downloads that a user may have at the same time, over all API processes; who did not sign in is "
        "told apart by address; 0 = no limit",
    )
    volume_30_days: int = Field(
        0, ge=0, description="bytes that a user who signed in may download in 30 days; 0 = no limit"
    )
    stall_s: float = Field(
        60.0, gt=0, description="seconds without taking a byte of an answer after which a client's connection is cut"
    )
    links: Literal["auto", "on", "off"] = Field(
        "auto",
        description="answer with signed links to S3 where bytes lie there as one object: auto = to requests without "
        "the header Authorization where users reach S3 (AWS, or s3.public_endpoint is set); on = always; off = never",
    )
    link_s: float = Field(600.0, ge=1, le=604_800, description="seconds for which a signed link to S3 is good")
    own_link_s: float = Field(
        86_400.0,
        ge=0,
        le=2_592_000,
        description="seconds for which a link of Products(id)/$link is good, without signing in; 0 = none are given",
    )


class StacSettings(Section):
    """The STAC API."""

    needs_zone: bool = Field(
        True, description="refuse instants without time zone in the parameter datetime, as RFC 3339; else they are UTC"
    )


class LogSettings(Section):
    """Structured logs; `refsys up` keeps one file per process in the state folder."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is written")
    rotate_bytes: int = Field(16 * 2**20, ge=2**16, description="size at which a log file is put aside")
    keep: int = Field(4, ge=0, le=100, description="files put aside that are kept")


class WorkSettings(Section):
    """How steps are run."""

    processes: int = Field(1, ge=1, le=64, description="worker processes")
    concurrency: int = Field(8, ge=1, le=512, description="steps that one worker process runs at the same time")
    max_attempts: int = Field(5, ge=1, description="claims of a step before it is parked")
    lease_s: float = Field(30.0, gt=0, description="seconds without a sign of life after which a step is taken over")
    backoff_s: float = Field(2.0, gt=0, description="first pause before another attempt; doubles, with jitter")
    backoff_limit_s: float = Field(600.0, gt=0, description="longest pause before another attempt")
    keep_days: float = Field(
        30.0, gt=0, description="days that finished steps and events are kept; `refsys replay` reaches back as far"
    )
    stop_s: float = Field(20.0, gt=0, description="seconds that processes get to finish or give back at a stop")

    @model_validator(mode="after")
    def _backoff_grows(self) -> Self:
        if self.backoff_limit_s < self.backoff_s:
            raise ValueError(f"backoff_limit_s ({self.backoff_limit_s}) is less than backoff_s ({self.backoff_s})")
        return self


class FetchSettings(Section):
    """Limits on what comes from outside."""

    max_product_bytes: int = Field(64 * 2**30, gt=0, description="largest product accepted, unpacked, in bytes")
    max_members: int = Field(100_000, gt=0, description="most files in one archive")
    max_ratio: float = Field(200.0, gt=1, description="largest ratio unpacked : packed, over the whole archive")
    connect_timeout_s: float = Field(10.0, gt=0, description="seconds to connect to a station")
    read_timeout_s: float = Field(60.0, gt=0, description="seconds of silence after which a connection counts as cut")
    least_bytes_per_s: int = Field(
        1024,
        ge=0,
        description="bytes a second, over a minute of waiting, below which a connection counts as cut; 0 = any",
    )
    pause_below_free: float = Field(0.15, ge=0, lt=1, description="share of free storage below which fetching pauses")
    resume_above_free: float = Field(0.20, ge=0, lt=1, description="share of free storage above which it resumes")
    eviction_guard_h: float = Field(
        24.0,
        ge=0,
        description="hours before a station deletes a file from which on it goes first, and an alarm is given",
    )
    window: int = Field(4, ge=1, le=16, description="ranges of one file that are fetched at the same time")
    range_bytes: int = Field(8 * 2**20, ge=2**16, description="bytes of such a range")

    @model_validator(mode="after")
    def _resumes_above(self) -> Self:
        if self.resume_above_free < self.pause_below_free:
            raise ValueError(
                f"resume_above_free ({self.resume_above_free}) is less than pause_below_free ({self.pause_below_free})"
            )
        return self


class SessionPolicy(Section):
    """What counts for some sessions in place of the values of [sessions]; the first that fits is taken."""

    mission: Literal["", "S1", "S2", "S3"] = Field("", description="sessions of this mission; empty = of any")
    timeliness: str = Field("", description="sessions of inboxes with this timeliness; empty = of any")
    on_deadline: Literal["process", "wait"] = Field("process", description="as in [sessions]")
    deadline_s: float = Field(0.0, ge=0, description="as in [sessions]")


class SessionSettings(Section):
    """Acquisition sessions: when one that lacks something is given up, and what happens then."""

    on_deadline: Literal["process", "wait"] = Field(
        "process",
        description="what becomes of an incomplete session at its deadline: process = production is told, flagged as "
        "incomplete; wait = an operator decides",
    )
    deadline_s: float = Field(
        0.0, ge=0, description="seconds after the downlink's end at which it comes; 0 = half of the timeliness limit"
    )
    quiet_s: float = Field(
        360.0, ge=0, description="seconds without a new file that must have passed before a deadline counts"
    )
    policy: tuple[SessionPolicy, ...] = ()


class UserSettings(Section):
    """A user whom this system knows by itself: for this machine and for tests. Others come by OpenID Connect."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$", description="name to sign in with")]
    password: SecretStr = Field(description="password, better as `refsys user hash` writes it")
    rights: tuple[Literal["search", "download", "subscribe"], ...] = Field(
        ("search", "download", "subscribe"), description="what this user may do: search, download, subscribe"
    )

    @field_validator("password")
    @classmethod
    def _is_a_password(cls, password: SecretStr) -> SecretStr:
        text = password.get_secret_value()
        if not text:
            raise ValueError("is empty")
        if is_hash(text):
            read_hash(text)
        return password


class ProviderSettings(Section):
    """An OpenID Connect provider (Keycloak and others) whose access tokens are accepted."""

    issuer: str = Field("", description="its issuer URL, as its tokens name it; empty = none")
    audience: str = Field("", description="audience that its access tokens have to name")
    clients: tuple[str, ...] = Field((), description="client ids (claim azp or client_id) accepted; empty = any")
    name_claim: str = Field("sub", description="claim that names the user: one that never passes to another user")
    roles_claim: str = Field("realm_access.roles", description="claim with the list of roles, dots lead into objects")
    search_roles: tuple[str, ...] = Field((), description="roles of which one is needed to search; empty = none is")
    download_roles: tuple[str, ...] = Field((), description="roles of which one is needed to download; empty = none is")
    subscribe_roles: tuple[str, ...] = Field(
        (), description="roles of which one is needed to subscribe; empty = none is"
    )
    leeway_s: float = Field(30.0, ge=0, le=300, description="seconds by which its clock and ours may differ")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.issuer:
            check_http_url("issuer", self.issuer)
            if self.issuer.startswith("http://") and not is_loopback(urlsplit(self.issuer).hostname or ""):
                raise ValueError("issuer begins with https://; http:// is for a provider on this machine")
            if not self.audience:
                raise ValueError("audience is needed: a token for another service is no token for this one")
        return self


class AccessSettings(Section):
    """Who may search, download and subscribe. /operations has a token of its own (http.operations_token)."""

    anonymous: Literal["auto", "all", "search", "none"] = Field(
        "auto",
        description="what those may who do not sign in; auto = all where the system is reached from this machine only "
        "(http.host and http.public_url), else search",
    )
    user: tuple[UserSettings, ...] = ()
    oidc: ProviderSettings = Field(default_factory=ProviderSettings)

    @model_validator(mode="after")
    def _users_differ(self) -> Self:
        seen: set[str] = set()
        for user in self.user:
            if user.name in seen:
                raise ValueError(f"two users have the name {user.name}")
            seen.add(user.name)
        return self


class Settings(Section):
    """Everything that can be set."""

    state_dir: Path = Field(Path(".refsys"), description="folder of embedded services, logs and local storage")
    database_url: SecretStr = Field(
        SecretStr(""), description="PostgreSQL to use; empty = embedded in the state folder"
    )
    storage_url: str = Field(
        "", description="s3://bucket[/prefix] or file:///folder; empty = a folder in the state folder"
    )
    type_tables: tuple[Path, ...] = Field((), description="folders with more product type tables (YAML)")
    s3: S3Settings = Field(default_factory=S3Settings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    auth: AccessSettings = Field(default_factory=AccessSettings)
    download: DownloadSettings = Field(default_factory=DownloadSettings)
    prip: PripSettings = Field(default_factory=PripSettings)
    stac: StacSettings = Field(default_factory=StacSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    subscriptions: SubscriptionSettings = Field(default_factory=SubscriptionSettings)
    work: WorkSettings = Field(default_factory=WorkSettings)
    fetch: FetchSettings = Field(default_factory=FetchSettings)
    sessions: SessionSettings = Field(default_factory=SessionSettings)
    station: tuple[StationSettings, ...] = ()
    inbox: tuple[InboxSettings, ...] = ()

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        if text and not text.startswith(("postgresql://", "postgres://")):
            raise ValueError("begins with postgresql://")
        return url

    @field_validator("storage_url")
    @classmethod
    def _is_storage(cls, url: str) -> str:
        if url and not re.match(r"s3://[^/@]{3,}(/|$)|file:///", url):
            raise ValueError("is s3://bucket[/prefix] or file:///folder")
        return url

    @model_validator(mode="after")
    def _inboxes_differ(self) -> Self:
        names = [station.name for station in self.station]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two stations have the name {name}")
        seen: set[str] = set()
        for inbox in self.inbox:
            if inbox.id in seen:
                raise ValueError(f"two inboxes have the id {inbox.id}; it is the key of an inbox's memory")
            seen.add(inbox.id)
        return self

    def station_of(self, inbox: InboxSettings) -> StationSettings:
        """The station that an inbox names; one with default limits where it names none that is set."""
        named = inbox.station or f"inbox {inbox.id}"
        return next((each for each in self.station if each.name == inbox.station), StationSettings(name=named))


def load_settings(
    config: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from flags (dotted name → value), environment and file; `state_dir` is made absolute.

    Without `config` the file is the one that REFSYS_CONFIG names, if any. Raises one ConfigurationError that lists
    everything wrong and where it was said.
    """
    environ = os.environ if environ is None else environ
    if config is None and environ.get("REFSYS_CONFIG"):
        config = Path(environ["REFSYS_CONFIG"])
    variables = {name: text for name, text in environ.items() if name not in NOT_SETTINGS}
    settings = load_layers(Settings, config, overrides or {}, variables, PREFIX)
    return settings.model_copy(update={"state_dir": settings.state_dir.absolute()})


def settings_from_json(text: bytes) -> Settings:
    """What `settings_text.to_json` wrote, as a process of ours gets it from its supervisor."""
    try:
        return Settings.model_validate(orjson.loads(text))
    except ValueError as error:
        raise ConfigurationError(f"the supervisor's settings cannot be read: {error}") from error
