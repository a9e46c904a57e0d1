"""Signatures of requests to S3: AWS Signature Version 4, in the header Authorization.

Source: Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)".
obstore signs what it sends itself, and links; this is for the few requests that it does not know.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
#: SHA-256 of no bytes, which the signed requests send.
_NOTHING: Final = hashlib.sha256().hexdigest()


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key; `token` is that of a session, for keys that hold for a while only."""

    id: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


def signed_headers(
    method: str, host: str, path: str, query: str, *, key: AccessKey, region: str, at: datetime
) -> dict[str, str]:
    """The headers of a request without a body, its signature among them.

    `path` and `query` are encoded as `encoded_path` and `encoded_query` do it, and must be sent so. S3 accepts it for a
    quarter of an hour round `at`.
    """
    headers = {"host": host, "x-amz-content-sha256": _NOTHING, "x-amz-date": f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"}
    if key.token:
        headers["x-amz-security-token"] = key.token
    return headers | {"authorization": authorization(method, path, query, headers, key, region)}


def authorization(method: str, path: str, query: str, headers: Mapping[str, str], key: AccessKey, region: str) -> str:
    """The header Authorization over all `headers`: names in small letters, with x-amz-date and x-amz-content-sha256."""
    names = sorted(headers)
    canonical = "\n".join(
        [
            method,
            path,
            query,
            *(f"{name}:{headers[name].strip()}" for name in names),
            "",
            ";".join(names),
            headers["x-amz-content-sha256"],
        ]
    )
    at = headers["x-amz-date"]
    scope = f"{at[:8]}/{region}/s3/aws4_request"
    told = "\n".join([_ALGORITHM, at, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    signing_key = f"AWS4{key.secret}".encode()
    for part in scope.split("/"):
        signing_key = hmac.digest(signing_key, part.encode(), "sha256")
    signature = hmac.digest(signing_key, told.encode(), "sha256").hex()
    return f"{_ALGORITHM} Credential={key.id}/{scope},SignedHeaders={';'.join(names)},Signature={signature}"


def encoded_path(path: str) -> str:
    """A path as S3 wants it in a signature: all but letters, digits, `-._~` and the slashes encoded, once."""
    return quote(path, safe="/~")


def encoded_query(query: Mapping[str, str]) -> str:
    """A query as S3 wants it in a signature: encoded, in the order of its names, each with its `=`."""
    pairs = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in query.items())
    return "&".join(f"{name}={value}" for name, value in pairs)
