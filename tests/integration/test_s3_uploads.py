"""Uploads to S3 that nobody completed: those of ours that are old are aborted, and nothing else."""

import contextlib
import http.server
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import obstore
import pytest
from structlog.testing import capture_logs

from refsys.core.errors import Unreachable
from refsys.infra.settings import S3Settings
from refsys.infra.storage import uploads
from refsys.infra.storage.s3 import S3Storage
from refsys.ingestion.inboxes.sweeping import sweep_unfinished
from tests.waiting import wait_until

NOW = datetime.now(UTC)
# after whatever a run of all tests begins before these
SOON, DAY_AGO = NOW + timedelta(days=1), NOW - timedelta(days=1)
LARGE = random.Random(1).randbytes(20 * 2**20)

WRITER = """
import sys
from refsys.infra.settings import S3Settings
from refsys.infra.storage.s3 import S3Storage
with S3Storage.of(sys.argv[1], S3Settings.model_validate_json(sys.argv[2])).batch() as batch:
    with batch.create("attempts/7f0c-1/S1A_X.SAFE/a b+ü&.tiff") as writer:
        writer.write(bytes(20 * 2**20))
        print("written", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def bucket(s3_gateway):
    return s3_gateway.new_bucket()


def begin(storage, key):
    """Begin to upload in parts; whoever never closes the writer has abandoned it."""
    writer = obstore.open_writer(storage._store, key, buffer_size=8 * 2**20, max_concurrency=1)
    writer.write(LARGE)
    wait_until(lambda: key in begun(storage))
    return writer


def begun(storage):
    return sorted(upload.key for upload in storage._uploads.begun(""))


def test_what_a_killed_process_was_uploading_is_swept_a_day_later(s3_gateway, bucket):
    storage = S3Storage.of(f"s3://{bucket}/main", s3_gateway.settings)
    secret = s3_gateway.settings.secret_access_key.get_secret_value()
    settings = s3_gateway.settings.model_dump_json(exclude={"secret_access_key"})
    words = [
        sys.executable, "-c", WRITER, f"s3://{bucket}/main",
        settings.replace("{", f'{{"secret_access_key": "{secret}",', 1),
    ]  # fmt: skip
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"written\n"
        wait_until(lambda: begun(storage))
        process.send_signal(signal.SIGKILL)
    assert list(storage.list("")) == []
    assert storage.sweep_unfinished("attempts/", DAY_AGO) == 0
    assert begun(storage) == ["attempts/7f0c-1/S1A_X.SAFE/a b+ü&.tiff"]
    assert storage.sweep_unfinished("attempts/", SOON) == 1
    assert begun(storage) == []
    assert storage.sweep_unfinished("attempts/", SOON) == 0


def test_uploads_elsewhere_stay_and_so_do_finished_objects(s3_gateway, bucket):
    main, neighbour = (S3Storage.of(f"s3://{bucket}/{name}", s3_gateway.settings) for name in ("main", "main2"))
    finished = begin(main, "attempts/a/finished")
    alive = [begin(main, "S1/attempts/x"), begin(main, "attempts2/x"), begin(neighbour, "attempts/a/x")]
    begin(main, "attempts/a/lost")
    finished.close()
    assert main.sweep_unfinished("attempts/", SOON) == 1
    assert main.read("attempts/a/finished") == LARGE
    for writer in alive:
        writer.close()
    assert [info.key for info in neighbour.list("")] == ["attempts/a/x"]
    assert sorted(info.key for info in main.list("")) == ["S1/attempts/x", "attempts/a/finished", "attempts2/x"]


async def test_a_bucket_of_one_system_is_swept_page_by_page_and_the_log_says_so(s3_gateway, bucket, monkeypatch):
    storage = S3Storage.of(f"s3://{bucket}", s3_gateway.settings)
    left = [begin(storage, f"attempts/{number}/x") for number in range(3)]
    monkeypatch.setattr(uploads, "_PAGE", 1)
    assert len(begun(storage)) == len(left)
    with capture_logs() as lines:
        assert await sweep_unfinished(storage, SOON) == len(left)
    assert lines == [{"event": "sweep.unfinished", "objects": 3, "log_level": "info"}]
    assert begun(storage) == []


def test_a_missing_bucket_and_a_service_that_is_away_are_tried_again(s3_gateway):
    settings = s3_gateway.settings.model_copy(update={"access_key_id": "limited"})
    with pytest.raises(Unreachable, match=r"NoSuchBucket \(make the bucket"):
        S3Storage.of("s3://not-made", settings).sweep_unfinished("attempts/", SOON)
    away = settings.model_copy(update={"endpoint": "http://127.0.0.1:1"})
    with pytest.raises(Unreachable, match="S3 did not answer for uploads: "):
        S3Storage.of("s3://bucket", away).sweep_unfinished("attempts/", SOON)
    busy = (503, "<Error><Code>SlowDown</Code></Error>")
    with saying(uploads=busy) as (storage, _), pytest.raises(Unreachable, match="answers 503 SlowDown"):
        storage.sweep_unfinished("attempts/", SOON)


# what a gateway cannot be made to say


@contextlib.contextmanager
def saying(*, uploads, parts=(200, "<ListPartsResult/>")):
    """Storage s3://bucket/main of a service that answers a listing of uploads, and one of parts, so.

    Gives the storage and what was asked: how often which method and parameters.
    """
    asked = Counter()

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
            asked[f"{self.command} {'uploads' if 'uploads' in query else query['uploadId'][0]}"] += 1
            status, text = uploads if "uploads" in query else parts if self.command == "GET" else (204, "")
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_DELETE = answer

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        endpoint = f"http://127.0.0.1:{server.server_port}"
        settings = S3Settings(endpoint=endpoint, access_key_id="key", secret_access_key="secret", allow_http=True)
        yield S3Storage.of("s3://bucket/main", settings), asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def listing(*keys, begun_at="2020-01-01T00:00:00.000Z", more=""):
    entries = "".join(
        f"<Upload><Key>{key}</Key><UploadId>{number}</UploadId><Initiated>{begun_at}</Initiated></Upload>"
        for number, key in enumerate(keys)
    )
    name = "ListMultipartUploadsResult"
    return 200, f'<{name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{entries}{more}</{name}>'


def part(at):
    return 200, f"<ListPartsResult><Part><LastModified>{at}</LastModified></Part></ListPartsResult>"


KEY = "main/attempts/a/x"


@pytest.mark.parametrize(
    ("found", "parts", "is_swept"),
    [
        (listing(KEY), (200, "<ListPartsResult/>"), True),
        (listing(KEY), part("2020-01-03T00:00:00Z"), True),
        (listing(KEY), part(NOW.isoformat()), False),
        (listing(KEY), (404, "<Error><Code>NoSuchUpload</Code></Error>"), True),
        (listing(KEY, begun_at=NOW.isoformat()), part("2020-01-03T00:00:00Z"), False),
        (listing(KEY, begun_at=""), (200, "<ListPartsResult/>"), False),
        (listing(KEY, begun_at="yesterday"), part("2020-01-03T00:00:00Z"), True),
    ],
    ids=["no part", "old", "parts come", "just gone", "young", "of unknown age", "age known by its part"],
)
def test_an_upload_is_abandoned_when_no_part_came_for_a_day(found, parts, is_swept):
    with saying(uploads=found, parts=parts) as (storage, asked):
        assert storage.sweep_unfinished("attempts/", DAY_AGO) == is_swept
    assert asked["DELETE 0"] == is_swept


def test_young_uploads_are_not_asked_for_their_parts():
    with saying(uploads=listing(KEY, begun_at=NOW.isoformat())) as (storage, asked):
        assert storage.sweep_unfinished("attempts/", DAY_AGO) == 0
    assert asked == {"GET uploads": 1}


def test_a_listing_that_names_what_was_not_asked_for_is_not_believed():
    others = ["main/S1/x", "main2/attempts/x", "attempts/x", "main/attempts/../S1/x", "main/attempts/a//x", "", "../x"]
    with saying(uploads=listing(*others, KEY)) as (storage, asked):
        assert storage.sweep_unfinished("attempts/", DAY_AGO) == 1
    assert {each for each in asked if each.startswith("DELETE")} == {f"DELETE {len(others)}"}


DOCTYPE = (
    '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><ListMultipartUploadsResult>&e;</ListMultipartUploadsResult>'
)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ((501, "<Error><Code>NotImplemented</Code></Error>"), "answers 501 NotImplemented to a question about uploads"),
        ((405, ""), "answers 405 to a question"),
        ((403, "<Error><Code>AccessDenied</Code></Error>"), "answers 403 AccessDenied"),
        ((404, "not here"), "answers 404"),
        ((200, "<ListBucketResult/>"), "answered something else than ListMultipartUploadsResult"),
        ((200, "<html>Sign in"), "gave an answer that is not well-formed XML"),
        ((200, DOCTYPE), "gave an answer that declares an external entity"),
        (listing(more="<IsTruncated>true</IsTruncated>"), "repeats a page"),
    ],
)
def test_a_service_that_cannot_list_uploads_fails_nothing_and_is_named_once(found, why):
    with saying(uploads=found) as (storage, asked), capture_logs() as lines:
        for _ in range(2):
            assert storage.sweep_unfinished("attempts/", DAY_AGO) == 0
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("sweep.uploads_left", "warning")
    assert line["why"].startswith(f"s3://bucket/main at {storage._place.partition(' at ')[2]}: {why}")
    assert "lifecycle rule" in line["why"]
    assert "secret" not in line["why"]
    assert asked == {"GET uploads": 2}


def test_an_answer_without_end_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr(uploads, "_ANSWER_LIMIT", 100)
    with saying(uploads=listing(KEY)) as (storage, asked), capture_logs() as lines:
        assert storage.sweep_unfinished("attempts/", DAY_AGO) == 0
    assert "more than 100 bytes" in lines[0]["why"]
    assert asked == {"GET uploads": 1}


def test_a_role_cannot_sweep_and_the_log_says_so_once(monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    storage = S3Storage.of("s3://bucket", S3Settings(endpoint="http://127.0.0.1:1", allow_http=True))
    with capture_logs() as lines:
        for _ in range(2):
            assert storage.sweep_unfinished("attempts/", DAY_AGO) == 0
    assert [line["event"] for line in lines] == ["sweep.uploads_left"]
    assert "has no access_key_id in [s3]" in lines[0]["why"]


def test_keys_of_the_environment_sweep_too(s3_gateway, bucket, monkeypatch):
    keys = s3_gateway.settings
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_access_key.get_secret_value())
    storage = S3Storage.of(f"s3://{bucket}", S3Settings(endpoint=s3_gateway.endpoint, allow_http=True))
    begin(storage, "attempts/a/x")
    assert storage.sweep_unfinished("attempts/", SOON) == 1
