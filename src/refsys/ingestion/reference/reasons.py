"""Why properties of the reference's ingestion have no counterpart here, by their names."""

from __future__ import annotations

import re
from typing import Final

_SESSION: Final = "session, channel and block are taken from the file's name, whatever the folders are called"
_NOT_READ: Final = "the reference's code does not read it"
_RETRY: Final = "what fails is tried again by the rules of [work] and [fetch]"
_KEYSTORE: Final = "an authority of the station's own is installed on the machine; Java's key stores are not read"

#: Properties of an inbox.
OF_INBOX: Final = {
    "family": "what a product is, its name tells",
    "mode": "nothing reads it; the inbox is remembered with each file",
    "stationretentiontime": "what was seen is never forgotten, so that nothing is fetched twice",
    "sessionnamepattern": _SESSION,
    "sessionnamegroupindex": _SESSION,
    "pathpattern": _SESSION,
    "pathmetadataelements": _SESSION,
}
#: Properties of a host, and of a protocol as a whole.
OF_HOST: Final = {
    **dict.fromkeys(
        ("bearertokentype", "oauthauthurl", "oauthclientid", "oauthclientsecret", "scope", "additionalheadersauth"),
        "it counts for authType oauth2 only",
    ),
    **dict.fromkeys(("user", "pass"), "it is sent with authType basic or oauth2 only"),
    "usehttpclientdownload": "there is one way to download",
    "connecttimeoutsec": "fetch.connect_timeout_s counts for all stations",
    "programmaticrecursion": "servers that refuse Depth: infinity are walked through folder by folder",
    "enablepreemptiveauthentication": "credentials are sent with the first request, over TLS",
    "numretries": _RETRY,
    "retrysleepms": _RETRY,
    "ftpssslsessionreuse": "data connections always go on with the TLS session of the control connection",
    "useextendedmastersecret": "TLS settles it",
    "enablehostnameverification": "a certificate is verified with the host's name, or (verify_tls = false) not at all",
    "sslprotocol": "TLS 1.2 and later are spoken",
    "keymanagerkeystore": "certificates of clients are not sent",
    "keymanagerkeystorepassword": "certificates of clients are not sent",
    "trustmanagerkeystore": _KEYSTORE,
    "trustmanagerkeystorepassword": _KEYSTORE,
    "listingtimeoutsec": "fetch.read_timeout_s counts for listings too",
    "buffersize": "pieces are of one size",
    "timewindowsec": "there are no windows of time: each look asks from the newest date received",
    "timewindowoverlapsec": "it re-reads nothing in the reference; here overlap_s does, two hours by default",
    "offsetfromnowsec": "each look goes up to the newest product; what is published late is found by overlap_s",
    "enablerobustftpclient": "a listing that fails is never an empty one",
    "retransferfamily": "what is a retransfer, the station says of each file",
}
#: Of CADIP only.
OF_CADIP: Final = dict.fromkeys(("timewindowsec", "timewindowoverlapsec", "offsetfromnowsec", "maxpagesize"), _NOT_READ)
OF_TRIGGER: Final = {"pollingintervalms": "the reference's poller reads spring.integration.poller.fixed-delay"}

#: Everything else in stream parameters, by the key without its application; the first that matches counts.
_OTHERS: Final = tuple(
    (re.compile(pattern), reason)
    for pattern, reason in (
        (r"deployer\..*", "resources, secrets and volumes of the reference's pods"),
        (r"spring\.|.*\bspring\.", "Kafka and Spring: steps are queued in PostgreSQL"),
        (
            r"main\.|management\.|logging\.|application\.|.*\.(banner-mode|config)$",
            "the reference's processes and logs",
        ),
        (r"process\.hostname", "an inbox is remembered by its id, not by a host's name"),
        (r"mongodb\.", "the memory of inboxes is in PostgreSQL"),
        (r"obs\.", "storage is set by storage_url and [s3]"),
        (r"ingestion-worker\.", _RETRY + ", and bytes are streamed"),
        (r"ingestion-filter\.", "nothing polls the filter"),
        (r"compression-worker\.", "archives are unpacked while they are fetched"),
        (r"common\.", "versions of the reference's chains"),
    )
)
_UNKNOWN: Final = "not known"


def of_other(key: str) -> str:
    """Why a property that is not of an inbox or a host counts for nothing here."""
    bare = key if key.startswith("deployer.") else re.sub(r"^app\.[^.]+\.", "", key)
    return next((reason for pattern, reason in _OTHERS if pattern.match(bare)), _UNKNOWN)
