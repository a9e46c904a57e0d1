"""What is true of S3 only: a bucket that is missing, keys that are refused, a service that is away."""

import contextlib
import http.server
import threading

import pytest
from pydantic import SecretStr

from refsys.core.errors import Transient
from refsys.infra.storage import MissingObject
from refsys.infra.storage.s3 import S3Storage
from tests.s3_gateway import LIMITED_KEY

CALLS = {
    "put": lambda storage: storage.put("a", b"x"),
    "put large": lambda storage: storage.put("a", bytes(9 * 2**20)),
    "write": lambda storage: _write(storage, 9 * 2**20),
    "read": lambda storage: storage.read("a"),
    "stat": lambda storage: storage.stat("a"),
    "list": lambda storage: list(storage.list("")),
    "delete": lambda storage: storage.delete(["a"]),
    "delete_prefix": lambda storage: storage.delete_prefix("a/"),
    "move": lambda storage: storage.move("a", "b", ["c"]),
    "stale": lambda storage: storage.stale("a/", None),
}


def _write(storage, size_bytes):
    with storage.batch() as batch, batch.create("a") as writer:
        writer.write(bytes(size_bytes))


def refused(storage, call, match):
    """The call fails with a Transient of one line that names the place, says what S3 said, and what to do."""
    with pytest.raises(Transient, match=match) as caught:
        CALLS[call](storage)
    assert not isinstance(caught.value, MissingObject)
    assert caught.value.subject == storage._place
    assert "\n" not in str(caught.value)
    assert "Debug source" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.fixture(scope="module")
def bucket(s3_gateway):
    return s3_gateway.new_bucket()


def with_keys(gateway, bucket, **keys):
    return S3Storage.of(f"s3://{bucket}", gateway.settings.model_copy(update=keys))


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_secret_is_said_to_be_wrong(s3_gateway, bucket, call):
    storage = with_keys(s3_gateway, bucket, secret_access_key=SecretStr("wrong"))
    refused(storage, call, r"S3 refused '[ac/]*': (SignatureDoesNotMatch: .*|403 Forbidden).*check the keys in \[s3\]")


@pytest.mark.parametrize("call", ["put", "list"])
def test_an_unknown_key_is_said_to_be_unknown(s3_gateway, bucket, call):
    refused(
        with_keys(s3_gateway, bucket, access_key_id="nobody"), call, r"InvalidAccessKeyId: .*check the keys in \[s3\]"
    )


@pytest.mark.parametrize("call", [call for call in CALLS if call not in ("put", "put large", "write")])
def test_a_missing_bucket_is_said_to_be_missing(s3_gateway, call):
    storage = with_keys(s3_gateway, "not-made", access_key_id=LIMITED_KEY)
    refused(storage, call, "NoSuchBucket: .*make the bucket, or correct storage_url")


@pytest.mark.parametrize("call", ["put", "put large", "write"])
def test_writing_to_a_missing_bucket_is_refused(s3_gateway, call):
    """This gateway says that access is denied, because naming a bucket would make one."""
    refused(with_keys(s3_gateway, "not-made", access_key_id=LIMITED_KEY), call, r"S3 refused 'a': AccessDenied")


@pytest.mark.parametrize("call", ["put", "read", "list"])
def test_a_service_that_is_away_is_tried_again(s3_gateway, call):
    """Nobody listens at port 1."""
    settings = s3_gateway.settings.model_copy(update={"endpoint": "http://127.0.0.1:1"})
    storage = S3Storage.of("s3://bucket", settings)
    refused(
        storage,
        call,
        "s3://bucket at http://127.0.0.1:1: S3 did not answer .*is it up and reachable. it is tried again",
    )


@contextlib.contextmanager
def answering(status, body):
    """A server that answers everything so; gives its address and the paths asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_service_that_is_busy_is_tried_again_and_then_named(s3_gateway):
    slow_down = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
    with answering(503, slow_down) as (endpoint, asked):
        storage = S3Storage.of("s3://bucket", s3_gateway.settings.model_copy(update={"endpoint": endpoint}))
        refused(storage, "read", "503 Service Unavailable.*it is tried again")
    assert len(asked) == 5


@pytest.mark.parametrize("call", ["read", "put"])
def test_an_answer_that_is_not_of_s3_is_an_error(s3_gateway, call):
    with answering(200, b"<html>Sign in</html>") as (endpoint, _):
        storage = S3Storage.of("s3://bucket", s3_gateway.settings.model_copy(update={"endpoint": endpoint}))
        refused(storage, call, "S3 did not answer")


def test_a_failed_put_fails_its_batch_and_takes_it_back(s3_gateway, bucket):
    """The secret is right when the batch begins, and wrong before it ends."""
    storage, wrong = with_keys(s3_gateway, bucket), with_keys(s3_gateway, bucket, secret_access_key=SecretStr("wrong"))

    def write():
        with storage.batch() as batch:
            for number in range(50):
                batch.put(f"failed/{number}", b"x")
            right, storage._store = storage._store, wrong._store
            try:
                for number in range(50, 100):
                    batch.put(f"failed/{number}", b"x")
            finally:
                storage._store = right

    with pytest.raises(Transient, match="check the keys"):
        write()
    assert list(storage.list("failed/")) == []


def test_prefixes_in_one_bucket_do_not_see_each_other(s3_gateway, bucket):
    one, two = (S3Storage.of(f"s3://{bucket}/{prefix}", s3_gateway.settings) for prefix in ("prefix", "prefix2/"))
    one.put("a", b"1")
    two.put("a", b"2")
    assert (one.read("a"), two.read("a")) == (b"1", b"2")
    assert [info.key for info in one.list("")] == ["a"]
    one.delete_prefix("a/")
    one.delete(["a"])
    assert two.read("a") == b"2"


def test_nobody_can_tell_the_free_room(s3_gateway, bucket):
    assert with_keys(s3_gateway, bucket).free_bytes() is None
