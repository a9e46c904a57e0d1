"""Uploads in parts that nobody completed: obstore can neither list nor abort them.

Source: Amazon S3 API Reference, ListMultipartUploads, ListParts and AbortMultipartUpload.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import structlog
from lxml import etree

from refsys.core.errors import HostileInput, InvalidProduct, RefsysError, Unreachable
from refsys.core.times import parse_instant
from refsys.infra import xml
from refsys.infra.storage.model import check_folder, check_key
from refsys.infra.storage.signing import AccessKey, encoded_path, encoded_query, signed_headers

if TYPE_CHECKING:
    from refsys.infra.settings import S3Settings

log = structlog.get_logger(__name__)

#: Entries of one page, and most pages of one listing.
_PAGE: Final = 1000
_PAGES: Final = 1000
#: Most bytes of one answer.
_ANSWER_LIMIT: Final = 16 * 2**20
_TIMEOUT_S: Final = 60.0
#: What an answer that is an error says.
_CODE: Final = re.compile(rb"<Code>(\w{1,100})</Code>")
_ADVICE: Final = "set a lifecycle rule of the bucket that aborts them (AbortIncompleteMultipartUpload)"


class _Refused(RefsysError):
    """The service does not know the request, does not allow it, or answers something else."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that is neither complete nor aborted; `begun_at` is None where the service does not say it."""

    key: str
    id: str
    begun_at: datetime | None


class Uploads:
    """The uploads in parts of a bucket, under a prefix ("" = all of it). Calls block.

    Without keys in the settings or in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nothing can be swept: those of a role
    are known to obstore alone.
    """

    def __init__(self, bucket: str, prefix: str, place: str, settings: S3Settings) -> None:
        endpoint = urlsplit(settings.endpoint or f"https://s3.{settings.region}.amazonaws.com")
        self._host = endpoint.netloc
        self._connect = http.client.HTTPSConnection if endpoint.scheme == "https" else http.client.HTTPConnection
        self._bucket = f"{endpoint.path.rstrip('/')}/{bucket}"
        self._root = f"{prefix}/" if prefix else ""
        self._place = place
        self._region = settings.region
        self._key = _key_of(settings)
        self._told = ""

    def sweep(self, prefix: str, before: datetime) -> int:
        """Abort the uploads in the folder `prefix` that got their last part before `before`; returns how many.

        Where the service refuses that, a line of the log says so, once, and nothing happens. Raises Unreachable.
        """
        folder = f"{check_folder(prefix)}/"
        swept = 0
        try:
            for upload in list(self.begun(folder)):
                if self._is_abandoned(upload, before):
                    self._abort(upload)
                    swept += 1
        except _Refused as error:
            if self._told != str(error):
                log.warning("sweep.uploads_left", why=str(error))
            self._told = str(error)
        else:
            self._told = ""
        return swept

    def begun(self, folder: str) -> Iterator[Upload]:
        """The uploads whose keys begin with `folder`; a service that lists others, too, is not believed."""
        query = {"uploads": "", "prefix": f"{self._root}{folder}", "max-uploads": str(_PAGE)}
        markers = {"key-marker": "NextKeyMarker", "upload-id-marker": "NextUploadIdMarker"}
        for page in self._pages("", "ListMultipartUploadsResult", query, markers):
            for found in page.iterfind("{*}Upload"):
                key, upload_id = _text(found, "Key"), _text(found, "UploadId")
                if key.startswith(f"{self._root}{folder}") and upload_id:
                    with contextlib.suppress(HostileInput):
                        yield Upload(check_key(key.removeprefix(self._root)), upload_id, _instant(found, "Initiated"))

    def _is_abandoned(self, upload: Upload, before: datetime) -> bool:
        """Large objects of slow stations take their time: an upload is alive while parts come."""
        if upload.begun_at is not None and upload.begun_at >= before:
            return False
        written = [upload.begun_at, *self._parts(upload)]
        known = [each for each in written if each is not None]
        return bool(known) and max(known) < before

    def _parts(self, upload: Upload) -> Iterator[datetime | None]:
        query = {"uploadId": upload.id, "max-parts": str(_PAGE)}
        markers = {"part-number-marker": "NextPartNumberMarker"}
        for page in self._pages(upload.key, "ListPartsResult", query, markers):
            for part in page.iterfind("{*}Part"):
                yield _instant(part, "LastModified")

    def _abort(self, upload: Upload) -> None:
        self._ask("DELETE", upload.key, {"uploadId": upload.id})

    def _pages(
        self, key: str, name: str, query: dict[str, str], markers: Mapping[str, str]
    ) -> Iterator[etree._Element]:
        """The pages of a listing; none where what is listed is gone. `markers`: parameters, by where they come from."""
        for _ in range(_PAGES):
            answer = self._ask("GET", key, query)
            if answer is None:
                return
            try:
                page = xml.parse(answer, subject=self._place)
            except (HostileInput, InvalidProduct) as error:
                raise self._refused(f"gave an answer that {error.message}") from error
            if etree.QName(page).localname != name:
                raise self._refused(f"answered something else than {name}")
            yield page
            if _text(page, "IsTruncated") != "true":
                return
            following = query | {each: _text(page, source) for each, source in markers.items() if _text(page, source)}
            if following == query:
                raise self._refused(f"repeats a page of {name}")
            query = following
        raise self._refused(f"has a {name} of more than {_PAGES} pages")

    def _ask(self, method: str, key: str, query: Mapping[str, str]) -> bytes | None:
        """What S3 answers; None where the upload is gone. Raises _Refused and Unreachable."""
        if self._key is None:
            raise self._refused("has no access_key_id in [s3], which questions about uploads are signed with")
        path = encoded_path(f"{self._bucket}/{self._root}{key}" if key else self._bucket)
        sent = encoded_query(query)
        headers = signed_headers(
            method, self._host, path, sent, key=self._key, region=self._region, at=datetime.now(UTC)
        )
        connection = self._connect(self._host, timeout=_TIMEOUT_S)
        try:
            connection.request(method, f"{path}?{sent}", headers=headers)
            response = connection.getresponse()
            answer = response.read(_ANSWER_LIMIT + 1)
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(
                f"S3 did not answer for uploads: {error or type(error).__name__}",
                subject=self._place,
                advice="is it up and reachable? it is tried again",
            ) from error
        finally:
            connection.close()
        if len(answer) > _ANSWER_LIMIT:
            raise self._refused(f"answers with more than {_ANSWER_LIMIT} bytes")
        if response.status in (200, 204):
            return answer
        if response.status == 404 and key:
            return None
        said = _CODE.search(answer)
        raise self._failed(response.status, said[1].decode("ascii", "replace") if said else "")

    def _failed(self, status: int, code: str) -> RefsysError:
        answer = f"answers {status} {code}".strip()
        if code == "NoSuchBucket":
            return Unreachable(answer, subject=self._place, advice="make the bucket, or correct storage_url")
        if status in (429, 500, 502, 503, 504):
            return Unreachable(answer, subject=self._place, advice="it is tried again")
        return self._refused(f"{answer} to a question about uploads")

    def _refused(self, message: str) -> _Refused:
        return _Refused(message, subject=self._place, advice=_ADVICE)


def _key_of(settings: S3Settings) -> AccessKey | None:
    """As obstore chooses it, but for roles."""
    known = os.environ
    token = known.get("AWS_SESSION_TOKEN", "")
    if settings.access_key_id:
        return AccessKey(settings.access_key_id, settings.secret_access_key.get_secret_value(), token)
    key_id, secret = known.get("AWS_ACCESS_KEY_ID", ""), known.get("AWS_SECRET_ACCESS_KEY", "")
    return AccessKey(key_id, secret, token) if key_id and secret else None


def _text(element: etree._Element, name: str) -> str:
    return element.findtext(f"{{*}}{name}") or ""


def _instant(element: etree._Element, name: str) -> datetime | None:
    try:
        return parse_instant(_text(element, name))
    except ValueError:
        return None
