"""What a station's answers and failures mean, told without a secret of ours, even where the station repeats one."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import ssl
from base64 import b64encode
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote, quote_plus

import aiohttp
import orjson
from yarl import URL

from refsys.core.errors import Gone, Overloaded, Permanent, RefsysError, Transient, Unreachable
from refsys.infra.settings import AuthSettings
from refsys.infra.settings_text import MASK

#: What a cut, silent or refused connection raises.
CONNECTION_ERRORS: Final = (aiohttp.ClientError, http.client.HTTPException, OSError, TimeoutError, EOFError)
#: Longest patience that a peer can ask for, in seconds.
_RETRY_AFTER_LIMIT_S: Final = 86_400.0
#: Tokens that are kept out of errors; a station may repeat one that is no longer in use.
_TOKENS_KNOWN: Final = 16


class Answers:
    """One inbox's reading of its station's answers. `trusted` are the hosts besides `origin` that get credentials."""

    def __init__(self, station: str, auth: AuthSettings, origin: URL, trusted: Sequence[str] = ()) -> None:
        self.station = station
        self._auth = auth
        self._origin = origin
        self._trusted = trusted
        self._known: deque[str] = deque(maxlen=_TOKENS_KNOWN)

    def learn(self, *tokens: str) -> None:
        """Keep these out of errors, too."""
        self._known += tokens

    def gets_credentials(self, url: URL) -> bool:
        """Whether our credentials may go there: the station's own origin, and hosts that the settings name.

        Never without TLS where the station itself has it.
        """
        if url.origin() == self._origin:
            return True
        if self._origin.scheme == "https" and url.scheme != "https":
            return False
        host = (url.raw_host or "").lower()
        host = f"[{host}]" if ":" in host else host
        return host in self._trusted or f"{host}:{url.port}" in self._trusted

    def refusal(self, status: int, reason: str, url: URL, patience: str | None, body: bytes) -> RefsysError:
        """What a status means. `patience` is the header Retry-After, `body` the beginning of what came with it."""
        excerpt = self.excerpt(body)
        told = f"answered {status} {self.excerpt(reason)}".rstrip() + f" to {shown(url)}"
        told += f": {excerpt}" if excerpt else ""
        subject, patience_s = self.station, retry_after(patience)
        if status in (401, 407):
            return Unreachable(told, subject=subject, advice=self._advice_on_credentials(status, url))
        if status == 403:
            return Transient(told, subject=subject, advice=self._advice_on_credentials(status, url))
        if status in (404, 410):
            return Gone(told, subject=subject, advice="was it removed there, or is the inbox's url wrong?")
        if status == 429 or (status == 503 and patience_s is not None):
            return Overloaded(told, subject=subject, advice="it is asked again later", retry_after_s=patience_s)
        if status >= 500 or status in (408, 425):
            return Unreachable(told, subject=subject, advice="it is asked again", retry_after_s=patience_s)
        return Permanent(told, subject=subject, advice="what we asked for is not understood there; see the answer")

    def unreachable(self, error: BaseException, subject: str = "") -> Unreachable:
        """What a connection error means."""
        subject = subject or self.station
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            error = error.certificate_error
        if isinstance(error, ssl.SSLCertVerificationError | ssl.CertificateError):
            why = getattr(error, "verify_message", "") or str(error)
            advice = "install the authority that signed it on this machine, or set the inbox's verify_tls to false"
            return Unreachable(f"has a certificate that cannot be trusted: {why}", subject=subject, advice=advice)
        told = str(error) or ("no whole answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
        if isinstance(error, aiohttp.ClientConnectorError):
            told = f"{_why(error.os_error)} ({error.host}:{error.port})"
        elif isinstance(error, CannotConnect):
            told = f"{_why(error.cause)} ({error.where})"
        return Unreachable(f"cannot be reached: {self.excerpt(told)}", subject=subject, advice="it is asked again")

    def excerpt(self, answer: bytes | str) -> str:
        """The beginning of what a station says, fit to be shown: printable, in one line, no secret of ours in it."""
        text = answer if isinstance(answer, str) else answer.decode("utf-8", "replace")
        for secret in self._secrets():
            text = text.replace(secret, MASK)
        return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))[:200]

    def _advice_on_credentials(self, status: int, asked: URL) -> str:
        if status == 407:
            return "the proxy wants credentials, which are not sent to proxies"
        if self._auth.kind == "none":
            return "it wants credentials: set the inbox's auth"
        if not self.gets_credentials(asked):
            return (
                f"credentials go to {self._origin} only: should the inbox's url begin with {asked.origin()}, or does "
                f"{asked.host} belong into redirect_hosts of its [[station]]?"
            )
        return "check user, password and kind in the inbox's auth"

    def _secrets(self) -> list[str]:
        """What must be in no error, in the forms in which it travels; the longest first."""
        auth = self._auth
        password, secret = auth.password.get_secret_value(), auth.client_secret.get_secret_value()
        given = [header.value.get_secret_value() for header in auth.header]
        given += [text.split(" ", 1)[1] for text in given if " " in text]
        made = [basic(auth.user, password) if password else "", basic_of_client(auth) if secret else ""]
        plain = {text for text in (password, secret, *made, *given, *self._known) if text}
        travelling = {form(text) for text in plain for form in (str, quote, quote_plus, _in_json)}
        return sorted(travelling, key=len, reverse=True)


class CannotConnect(OSError):
    """No connection to `where` (host:port), because of `cause`."""

    def __init__(self, where: str, cause: OSError) -> None:
        super().__init__(f"{cause} ({where})")
        self.where = where
        self.cause = cause


def basic(user: str, password: str) -> str:
    """User and password as HTTP Basic carries them (RFC 7617)."""
    return b64encode(f"{user}:{password}".encode()).decode()


def basic_of_client(auth: AuthSettings) -> str:
    """Client id and secret as HTTP Basic carries them (RFC 6749 2.3.1)."""
    return basic(quote_plus(auth.client_id), quote_plus(auth.client_secret.get_secret_value()))


def retry_after(text: str | None) -> float | None:
    """Seconds, from either form of Retry-After (RFC 9110 10.2.3), a day at most; None where it says nothing."""
    if not text:
        return None
    seconds: float | None = None
    if re.fullmatch(r"\s*\d{1,12}(\.\d*)?\s*", text, re.ASCII):
        seconds = float(text)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        instant = parsedate_to_datetime(text)
        seconds = (instant.replace(tzinfo=instant.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return None if seconds is None else min(max(0.0, seconds), _RETRY_AFTER_LIMIT_S)


def shown(url: URL) -> str:
    """A URL without what may be secret in it."""
    return str(url.with_query(None).with_user(None).with_password(None))[:300]


def _why(reason: OSError) -> str:
    if isinstance(reason, socket.gaierror) or not reason.errno:
        return reason.strerror or str(reason) or type(reason).__name__
    return os.strerror(reason.errno)


def _in_json(text: str) -> str:
    return orjson.dumps(text).decode()[1:-1]
