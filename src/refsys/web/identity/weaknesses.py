"""What is allowed, and weaker than it should be: settings of who may do what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from refsys.core.hosts import is_loopback
from refsys.core.passwords import is_hash
from refsys.infra.settings import Settings
from refsys.web.identity.rules import anonymous_choice

#: Shortest password, in characters, that is not called short.
LEAST_LETTERS: Final = 12


def weaknesses(settings: Settings) -> Iterator[str]:
    """Sentences, each with what to do."""
    auth, http = settings.auth, settings.http
    is_reached = not is_loopback(http.host) or not is_loopback(urlsplit(http.public_url).hostname or "localhost")
    for number, user in enumerate(auth.user):
        password = user.password.get_secret_value()
        if not is_hash(password):
            yield f"auth.user[{number}] ({user.name}): the password is in clear; `refsys user hash` makes a hash of it"
            if len(password) < LEAST_LETTERS:
                yield f"auth.user[{number}] ({user.name}): the password has fewer than {LEAST_LETTERS} characters"
    if not is_reached:
        return
    if auth.anonymous == "all":
        yield "auth.anonymous is all: everybody who reaches the service may download and subscribe"
    if auth.user and not http.public_url.startswith("https://"):
        yield "http.public_url is no https:// address: names, passwords and tokens of local users travel in clear"
    if anonymous_choice(settings) != "all" and not auth.user and not auth.oidc.issuer:
        yield (
            "nobody can sign in, and who does not may not download: set auth.oidc or auth.user, "
            'or auth.anonymous = "all"'
        )
