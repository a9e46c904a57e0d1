"""One request to a station on its way: redirects, and credentials for those who may have them. Without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from yarl import URL

from refsys.core.errors import Permanent, Unreachable
from refsys.infra.settings import AuthSettings
from refsys.infra.stations.answers import Answers, basic, shown
from refsys.infra.stations.tokens import Token

#: Most redirects that are followed.
_REDIRECTS: Final = 5
_ADVICE: Final = "ask the station where it leads to"


class Errand:
    """Where a request goes next, and with which headers; told of each answer, it says whether it has to go on.

    `wants_token` says that a token is needed where it goes now, `refused` is one that was refused there.
    """

    def __init__(self, answers: Answers, auth: AuthSettings, method: str, url: str, headers: Mapping[str, str]) -> None:
        self._answers = answers
        self._auth = auth
        self._given = dict(headers)
        self._left = _REDIRECTS
        self._token: Token | None = None
        self._is_renewed = False
        self.method = method
        self.refused: Token | None = None
        self.url = self._aim(url, "links")

    @property
    def wants_token(self) -> bool:
        return self._auth.kind == "oauth2" and self._answers.gets_credentials(self.url)

    @property
    def keeps_body(self) -> bool:
        """Whether the body that was given goes along: not after 303."""
        return self.method != "GET"

    def headers(self, token: Token | None) -> dict[str, str]:
        """Those of the next request; `token` is given where it `wants_token`."""
        self._token = token
        return {**self._given, **self._credentials(token)}

    def goes_on(self, status: int, location: str | None) -> bool:
        """Whether another request is needed after this answer. Raises Unreachable and Permanent for bad redirects."""
        if status == 401 and self._token is not None and not self._is_renewed:
            self._is_renewed, self.refused = True, self._token
            return True
        self.refused = None
        if status not in (301, 302, 303, 307, 308) or location is None:
            return False
        self.url = self._aim(location, "redirects", self.url)
        if not self._left:
            told = f"redirects more than {_REDIRECTS} times, last to {shown(self.url)}"
            raise Unreachable(told, subject=self._answers.station, advice=_ADVICE)
        self._left -= 1
        if status == 303:
            self.method = "GET"
        return True

    def _credentials(self, token: Token | None) -> dict[str, str]:
        if token is not None:
            name = self._auth.token_header
            return {name: f"Bearer {token.access}" if name.lower() == "authorization" else token.access}
        if self._auth.kind == "basic" and self._answers.gets_credentials(self.url):
            return {"Authorization": f"Basic {basic(self._auth.user, self._auth.password.get_secret_value())}"}
        return {}

    def _aim(self, text: str, how: str, base: URL | None = None) -> URL:
        """Where a link or redirect leads; what is escaped in it stays as it is, for it may be signed."""
        subject = self._answers.station
        try:
            target = URL(text, encoded=text.isascii() and text.isprintable() and " " not in text)
            target = (base.join(target) if base is not None else target).with_user(None)
            target.origin()
            (target.raw_host or "").encode("idna")  # as the resolver will
        except ValueError as error:
            raise Permanent(
                f"{how} to {ascii(text)[:200]}, which is no URL", subject=subject, advice=_ADVICE
            ) from error
        if target.scheme not in ("http", "https"):
            raise Permanent(f"{how} to {target.scheme}:, which is not HTTP", subject=subject, advice=_ADVICE)
        return target
