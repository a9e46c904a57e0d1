"""How the reference reaches the host of an inbox: credentials, TLS, proxy, and what the station calls things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from refsys.ingestion.reference.properties import Property
from refsys.ingestion.reference.streams import Properties, StreamFile, placeholder, resolve

_ODATA: Final = {
    "creationdateattributename": ("publication_date", "PublicationDate"),
    "productnameattrname": ("product_name", "Name"),
    "idattrname": ("product_id", "Id"),
    "contentlengthattrname": ("content_length", "ContentLength"),
}
_HEADERS: Final = {"AUTHORIZATION": "Authorization", "OAUTH2_ACCESS_TOKEN": "OAUTH2-ACCESS-TOKEN"}


@dataclass(slots=True)
class Access:
    """`values` are settings of the inbox, `station` those of its station; `to_fill` says what is to be set by hand."""

    values: dict[str, Any] = field(default_factory=dict)
    auth: dict[str, Any] = field(default_factory=dict)
    headers: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    station: dict[str, Any] = field(default_factory=dict)
    odata: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    to_fill: list[str] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    problem: str = ""

    def checked(self) -> dict[str, Any]:
        """`auth` as settings have it when secrets in files were read."""
        plain = {name.removesuffix("_file"): value for name, value in self.auth.items()}
        headers = [{"name": name, "value": value.get("value", "x")} for name, value in self.headers]
        return plain | ({"header": headers} if headers else {})


def access_of(
    stream: StreamFile, trigger: str, kind: str, url: str, given: Mapping[str, str], secrets: Path | None
) -> Access:
    """The access to the host of an inbox with this URL; empty with a note where no host is set for it."""
    reader = _Reader(stream, kind, given, secrets)
    reader.take_proxy(stream.general(trigger, kind))
    properties = _host(stream.hosts(trigger, kind), kind, url, given)
    if properties is None:
        reader.access.notes.append(
            f"no {kind}.host-configs entry is for its URL: nothing is known of user and password"
        )
    else:
        reader.take(properties)
        if kind == "edip":
            reader.take_ftp(properties, url)
    return reader.access


def _host(hosts: Mapping[str, Properties], kind: str, url: str, given: Mapping[str, str]) -> Properties | None:
    """The reference takes any whose text occurs in the URL; here the longest does."""
    best, length = None, 0
    for properties in hosts.values():
        each = properties.get("servicerooturi" if kind in ("auxip", "cadip") else "servername")
        text = resolve(each, given).rstrip("/") if each else ""
        if kind == "auxip":
            fits = url.rstrip("/") == text
        else:
            fits = bool(text) and (url.startswith(text) if kind == "cadip" else text in url)
        if fits and len(text) > length:
            best, length = properties, len(text)
    return best


class _Reader:
    def __init__(self, stream: StreamFile, kind: str, given: Mapping[str, str], secrets: Path | None) -> None:
        self.access = Access()
        self._stream = stream
        self._kind = kind
        self._given = given
        self._secrets = secrets
        self._properties: Properties = {}

    def take_proxy(self, general: Properties) -> None:
        self._properties = general
        if proxy := self._text("proxy"):
            self.access.station["proxy"] = proxy
        if host := self._text("proxyhost"):
            self.access.station["proxy"] = f"http://{host}:{self._text('proxyport') or 80}"

    def take(self, properties: Properties) -> None:
        self._properties = properties
        access = self.access
        self._mark("servername", "servicerooturi")
        if self._kind in ("auxip", "cadip"):
            self._take_odata()
        elif user := self._open("user"):
            access.auth = {"kind": "basic", "user": user}
        if access.auth.get("kind", "none") != "none":
            self._secret("pass", "password")
        if self._flag("trustselfsignedcertificate", "true") or self._flag("sslvalidation", "false"):
            access.values["verify_tls"] = False
            access.notes.append("verify_tls = false as in the reference: better have the station's authority installed")
        elif self._kind in ("auxip", "cadip"):
            access.notes.append("the certificate is verified; the reference never does so for tokens and downloads")

    def take_ftp(self, properties: Properties, url: str) -> None:
        access = self.access
        if url.startswith("ftps://"):
            if self._flag("explicitftps", "false"):
                access.values["url"] = f"ftpis://{url.removeprefix('ftps://')}"
            if not self._flag("encryptdatachannel", "true"):
                access.values["encrypt_data"] = False
        if not self._flag("pasv", "true"):
            access.notes.append("the reference uses active data connections here; ours are passive always")
        self._mark("explicitftps", "encryptdatachannel")

    def _take_odata(self) -> None:
        access = self.access
        kind = self._text("authtype").lower()
        if kind == "basic":
            access.auth = {"kind": "basic", "user": self._open("user")}
        elif kind == "oauth2":
            access.auth = {"kind": "oauth2", "user": self._open("user")}
            self._take_oauth2()
        else:
            access.notes.append(
                "authType is neither basic nor oauth2: the reference finds nothing there; asked without"
            )
        for name, (setting, default) in _ODATA.items():
            if (text := self._text(name)) not in ("", default):
                access.odata[setting] = text

    def _take_oauth2(self) -> None:
        access = self.access
        access.auth["token_url"] = self._text("oauthauthurl")
        for name, setting in (("oauthclientid", "client_id"), ("scope", "scope")):
            if text := self._open(name):
                access.auth[setting] = text
        self._secret("oauthclientsecret", "client_secret")
        if header := self._text("bearertokentype").upper():
            if header not in _HEADERS:
                access.problem = f"bearerTokenType {header!a} is not known"
            elif header != "AUTHORIZATION":
                access.auth["token_header"] = _HEADERS[header]
        for name, each in self._properties.items():
            if name.startswith("additionalheadersauth."):
                header = name.partition(".")[2]
                access.headers.append((header, self._secret_value(each, "value", f" of the header {header}")))

    def _text(self, name: str) -> str:
        each = self._properties.get(name)
        if each is None:
            return ""
        self.access.used.add(each.line)
        return resolve(each, self._given)

    def _mark(self, *names: str) -> None:
        self.access.used |= {self._properties[name].line for name in names if name in self._properties}

    def _flag(self, name: str, wanted: str) -> bool:
        return self._text(name).lower() == wanted

    def _open(self, name: str) -> str:
        """What is no secret; a placeholder without a value stays, and is to be filled in."""
        each = self._properties.get(name)
        if each is None:
            return ""
        self.access.used.add(each.line)
        if (variable := placeholder(each)) and variable not in self._given:
            self.access.to_fill.append(f"${{{variable}}} is to be replaced{self._kept(variable)}")
            return each.value.strip()
        return resolve(each, self._given)

    def _secret(self, name: str, setting: str) -> None:
        if (each := self._properties.get(name)) is not None:
            self.access.auth |= self._secret_value(each, setting)

    def _secret_value(self, each: Property, setting: str, of: str = "") -> dict[str, str]:
        """The setting; nothing where the file names a placeholder and no folder with secrets is known."""
        self.access.used.add(each.line)
        variable = placeholder(each)
        if not variable:
            return {setting: each.value}
        if self._secrets is not None:
            return {f"{setting}_file": str(self._secrets / variable)}
        self.access.to_fill.append(f'{setting}_file = "…/{variable}"{of}{self._kept(variable)}')
        return {}

    def _kept(self, variable: str) -> str:
        secret = self._stream.secrets.get(variable)
        return f" (Kubernetes secret {secret})" if secret else ""
