"""XML from outside: nothing is read or fetched on its behalf, and nothing it says can cost memory without bound."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lxml import etree

from refsys.core.errors import HostileInput, InvalidProduct
from refsys.infra import xml

SUBJECT = "X.SAFE/manifest.safe"
LAUGHS = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 9))

# what decodes to <! without the bytes of it
UTF7 = '<?xml version="1.0" encoding="UTF-7"?>{}'


def hidden(text: str) -> bytes:
    """The document in UTF-7, its declarations spelt so that their bytes are not found."""
    return UTF7.format(text.replace("<!", "+ADwAIQ-")).encode("ascii")


def refused(data: bytes, kind: type[Exception] = HostileInput) -> str:
    with pytest.raises(kind) as caught:
        xml.parse(data, subject=SUBJECT)
    assert str(caught.value).startswith(f"{SUBJECT}: ")
    assert caught.value.advice, "says what to do"
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_document_is_parsed_without_comments_instructions_and_blanks() -> None:
    root = xml.parse(b"<a>\n <!-- no --> <?do this?> <b>one<!-- more -->two</b>\n</a>", subject=SUBJECT)
    assert [child.tag for child in root] == ["b"]
    assert root[0].text == "onetwo"
    assert len(root.getroottree().xpath("//comment() | //processing-instruction()")) == 0


@pytest.mark.parametrize("doctype", ["<!DOCTYPE a>", '<!DOCTYPE a SYSTEM "a.dtd">', "<!DOCTYPE a [<!ELEMENT a ANY>]>"])
def test_a_document_type_is_refused(doctype: str) -> None:
    assert "DOCTYPE" in refused(f"{doctype}<a/>".encode())


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://example.org/x", "../../secret", "jar:file:///x!/y"])
def test_an_external_entity_is_refused_and_its_target_named(target: str) -> None:
    told = refused(f'<!DOCTYPE a [<!ENTITY x SYSTEM "{target}">]><a>&x;</a>'.encode())
    assert f"reads '{target}'" in told
    assert "reads 'b'" in refused(b'<!DOCTYPE a [<!ENTITY x PUBLIC "b" "http://example.org/">]><a>&x;</a>')


def test_a_million_laughs_are_refused_at_once() -> None:
    started = time.process_time()
    assert "9 entities" in refused(f"<!DOCTYPE a [{LAUGHS}]><a>&a8;</a>".encode())
    assert "without bound" in refused(hidden(f'<!DOCTYPE a [{LAUGHS}]><a b="&a8;"/>'))
    assert time.process_time() - started < 5


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_no_encoding_hides_a_declaration(encoding: str) -> None:
    text = '<?xml version="1.0" encoding="{}"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
    assert "/etc/passwd" in refused(text.format(encoding).encode(encoding))


def test_nothing_is_opened_for_a_document_even_where_its_encoding_hides_what_it_declares(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("<!ENTITY y 'the secret'>")
    target = secret.as_uri()
    for document in (
        f'<!DOCTYPE a SYSTEM "{target}"><a b="&y;">&y;</a>',
        f'<!DOCTYPE a [<!ENTITY x SYSTEM "{target}">]><a>&x;</a>',
        f'<!DOCTYPE a [<!ENTITY % x SYSTEM "{target}">%x;]><a b="&y;">&y;</a>',
        f'<!DOCTYPE a [<!ENTITY % x SYSTEM "{target}">%x;]><a/>',
    ):
        refused(hidden(document))
        root = etree.fromstring(hidden(document), xml._parser())
        assert "the secret" not in etree.tostring(root, encoding="unicode", method="text")
        assert "the secret" not in root.attrib.values()
    included = f'<a xmlns:i="http://www.w3.org/2001/XInclude"><i:include href="{target}" parse="text"/></a>'
    assert "".join(xml.parse(included.encode(), subject=SUBJECT).itertext()) == ""


def test_what_the_parser_would_open_after_all_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second lock: with an option by which libxml2 opens the external subset, the resolver still says no."""
    parser = etree.XMLParser(load_dtd=True)
    parser.resolvers.add(xml._NoResource())
    monkeypatch.setattr(xml, "_parser", lambda: parser)
    assert "reads 'file:///etc/passwd'" in refused(hidden('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>'))


def test_a_document_nested_too_deep_is_refused() -> None:
    assert xml.parse(b"<a>" * 200 + b"</a>" * 200, subject=SUBJECT) is not None
    assert "too deep" in refused(b"<a>" * 100_000 + b"</a>" * 100_000)


def test_a_document_too_large_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(HostileInput, match="has 8 bytes, more than 7"):
        xml.parse(b"<a/>    ", subject=SUBJECT, size_limit=7)
    assert "more than 67108864" in refused(b"<a>" + b" " * 2**26 + b"</a>")


def test_a_document_of_too_many_elements_or_attributes_is_refused() -> None:
    assert "4000004 tags and attributes" in refused(b"<r>" + b"<a/>" * 4_000_002 + b"</r>")
    attributes = b" ".join(b"a%d=''" % i for i in range(100))
    assert "tags and attributes" in refused(b"<r>" + b"<a %s/>" % attributes * 40_000 + b"</r>")


@pytest.mark.parametrize("document", [b"<a>%s</a>", b'<a b="%s"/>', b"<%s/>"])
def test_a_text_value_or_name_without_end_is_refused(document: bytes) -> None:
    refused(document % (b"x" * 11_000_000), (HostileInput, InvalidProduct))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "iso-8859-1", "windows-1252", "ascii"])
def test_documents_in_other_encodings_are_read(encoding: str) -> None:
    declared = "utf-8" if encoding == "utf-8-sig" else encoding
    place = "Neustrelitz" if encoding == "ascii" else "Tromsø"
    data = f'<?xml version="1.0" encoding="{declared}"?><site>{place}</site>'.encode(encoding)
    assert xml.parse(data, subject=SUBJECT).text == place


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "line 1, column 1"),
        (b"not XML at all", "line 1, column 1"),
        (b"<a>\n<b></a>", "line 2, column 8"),
        (b"<a>&unknown;</a>", "Entity 'unknown' not defined"),
        (b"<a/><b/>", "line 1"),
        (b'<a b="1" b="2"/>', "Attribute b redefined"),
        (b"<x:a/>", "prefix x"),
        (b"<a>\xff\xfe</a>", "encoding"),
        (b"<a>\0</a>", "line 1"),
        (b'<?xml version="1.0" encoding="none-such"?><a/>', "none-such"),
        ("<a/>".encode("cp037"), "line 1"),
        (b"<html><body><br></body></html>", "mismatch"),
        (b"PK\x03\x04", "line 1"),
    ],
)
def test_what_is_not_xml_is_told_with_its_place(data: bytes, told: str) -> None:
    assert told in refused(data, InvalidProduct)


def test_threads_parse_at_the_same_time_and_keep_apart() -> None:
    def names(number: int) -> set[str]:
        data = b"<r>" + b"<a>%d</a>" % number * 2000 + b"</r>"
        return {element.text for element in xml.parse(data, subject=SUBJECT)}

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(names, range(40))) == [{str(number)} for number in range(40)]


def streamed(data: bytes, step: int = 7) -> list[str]:
    """The texts of the elements `b` of a document that comes in pieces."""
    stream = xml.ElementStream("{urn:x}b", subject=SUBJECT)
    found = [
        element.findtext("{urn:x}c") or ""
        for start in range(0, len(data), step)
        for element in stream.feed(data[start : start + step])
    ]
    stream.close()
    return found


def test_the_elements_of_a_stream_come_one_by_one_and_nothing_is_kept_of_them() -> None:
    many = [f"<b><c>{number}</c></b>" for number in range(1000)]
    assert streamed(f"<a xmlns='urn:x'><z/>{''.join(many)}</a>".encode(), 100) == [str(n) for n in range(1000)]
    stream = xml.ElementStream("{urn:x}b", subject=SUBJECT)
    list(stream.feed(b"<a xmlns='urn:x'>"))
    parents = [element.getparent() for each in many for element in stream.feed(each.encode())]
    assert len(parents) == 1000
    assert len(parents[-1]) <= 1


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ("<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a xmlns='urn:x'><b><c>&e;</c></b></a>", HostileInput),
        (f"<!DOCTYPE a [{LAUGHS}]><a xmlns='urn:x'><b><c>&a8;</c></b></a>", HostileInput),
        ("<a xmlns='urn:x'><b><c>1</c></b>", InvalidProduct),
        ("<a xmlns='urn:x'><b><c>1</c></b></a><more/>", InvalidProduct),
        ("<a xmlns='urn:x'><b><c>1</b></c></a>", InvalidProduct),
        ("", InvalidProduct),
        ("<a>" * 300, HostileInput),
    ],
)
def test_a_stream_is_as_wary_as_a_document(document: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        streamed(document.encode())


@pytest.mark.parametrize("step", [7, 10_000])
def test_no_encoding_hides_a_declaration_from_a_stream(step: int) -> None:
    document = "<!DOCTYPE a [<!ENTITY e 'x'>]><a xmlns='urn:x'><b><c>&e;</c></b></a>"
    for data in (hidden(document), document.encode("utf-16"), document.encode("utf-32")):
        with pytest.raises((HostileInput, InvalidProduct)):
            streamed(data, step)


def test_a_stream_without_end_is_given_up() -> None:
    with pytest.raises(HostileInput, match="without an end"):
        streamed(b"<a xmlns='urn:x'>" + b"<d/>" * 2_000_000, 100_000)
