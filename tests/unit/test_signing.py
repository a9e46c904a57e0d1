"""Signatures of requests to S3, against the examples that AWS publishes.

Source: Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header", examples of signatures.
"""

import hashlib
from datetime import UTC, datetime, timedelta, timezone

import pytest

from refsys.infra.storage.signing import AccessKey, authorization, encoded_path, encoded_query, signed_headers

KEY = AccessKey("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
HOST = "examplebucket.s3.amazonaws.com"
AT = datetime(2013, 5, 24, tzinfo=UTC)
NOTHING = hashlib.sha256().hexdigest()
EXAMPLES = {
    "GET Object": (
        ("GET", "/test.txt", {}, {"range": "bytes=0-9"}, b""),
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    "PUT Object": (
        (
            "PUT",
            "/test$file.text",
            {},
            {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            b"Welcome to Amazon S3.",
        ),
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    "GET Bucket Lifecycle": (
        ("GET", "/", {"lifecycle": ""}, {}, b""),
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    "GET Bucket (List Objects)": (
        ("GET", "/", {"prefix": "J", "max-keys": "2"}, {}, b""),
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
}


@pytest.mark.parametrize(("request_", "signature"), EXAMPLES.values(), ids=EXAMPLES)
def test_the_published_examples_have_the_published_signatures(request_, signature):
    method, path, query, more, body = request_
    headers = {"host": HOST, "x-amz-content-sha256": hashlib.sha256(body).hexdigest(), "x-amz-date": "20130524T000000Z"}
    said = authorization(method, encoded_path(path), encoded_query(query), headers | more, KEY, "us-east-1")
    names = ";".join(sorted(headers | more))
    assert said == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        f"SignedHeaders={names},Signature={signature}"
    )


@pytest.mark.parametrize("at", [AT, AT.astimezone(timezone(timedelta(hours=-7)))])
def test_a_request_without_body_has_the_headers_of_the_example(at):
    headers = signed_headers("GET", HOST, "/", "lifecycle=", key=KEY, region="us-east-1", at=at)
    assert headers.pop("authorization").endswith(f"Signature={EXAMPLES['GET Bucket Lifecycle'][1]}")
    assert headers == {"host": HOST, "x-amz-content-sha256": NOTHING, "x-amz-date": "20130524T000000Z"}


def test_the_token_of_a_session_is_sent_and_signed():
    key = AccessKey(KEY.id, KEY.secret, "the token")
    headers = signed_headers("GET", HOST, "/", "", key=key, region="us-east-1", at=AT)
    assert headers["x-amz-security-token"] == "the token"
    assert "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token," in headers["authorization"]


def test_what_is_signed_is_encoded_once_as_s3_wants_it():
    assert encoded_path("/bucket/a b+c/ü~-_.%2F") == "/bucket/a%20b%2Bc/%C3%BC~-_.%252F"
    assert encoded_query({"uploads": "", "prefix": "a/ ~&=", "Key": "1"}) == "Key=1&prefix=a%2F%20~%26%3D&uploads="


def test_a_key_does_not_show_its_secrets():
    assert repr(AccessKey("id", "secret", "token")) == "AccessKey(id='id')"
