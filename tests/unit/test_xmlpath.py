"""Paths find what they say, without namespaces, in document order."""

from __future__ import annotations

import pytest
from lxml import etree

from refsys.infra.xmlpath import Anchors, compile_path

DOCUMENT = etree.fromstring(
    b"""<x:XFDU xmlns:x="urn:x" xmlns:s="urn:s">
  <s:acquisitionPeriod><s:startTime> 2021-08-09T17:39:53 </s:startTime><s:stopTime/></s:acquisitionPeriod>
  <orbitReference>
    <orbitNumber type="start">39156</orbitNumber><orbitNumber type="stop" direction="up">39157</orbitNumber>
    <s:orbitNumber type="start" direction="down">7</s:orbitNumber>
  </orbitReference>
  <frames>
    <frame><swath>IW1</swath></frame><frame><swath>IW2</swath><swath>IW3</swath></frame><frame/>
  </frames>
  <points><LATITUDE>1</LATITUDE><LONGITUDE>2</LONGITUDE><LATITUDE>3</LATITUDE><LONGITUDE>4</LONGITUDE></points>
  <nested><frame><frame><swath>deep</swath></frame></frame></nested>
  <note role="it/s ] odd">quoted</note>
</x:XFDU>"""
)


def values(text: str) -> list[str]:
    path = compile_path(text)
    assert path.text == text
    return list(path.values(Anchors(DOCUMENT, [path.anchor.name])))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("//acquisitionPeriod/startTime", ["2021-08-09T17:39:53"]),
        ("//startTime", ["2021-08-09T17:39:53"]),
        ("//acquisitionPeriod/stopTime", []),
        ("//acquisitionPeriod/orbitNumber", []),
        ("//orbitNumber", ["39156", "39157", "7"]),
        ("//orbitNumber[@type='start']", ["39156", "7"]),
        ("//orbitReference/orbitNumber[@type='start']", ["39156", "7"]),
        ("//orbitReference/orbitNumber[@type='start'][@direction='down']", ["7"]),
        ("//orbitReference/orbitNumber[@type='start'][2]", ["7"]),
        ("//orbitReference/orbitNumber[3]", ["7"]),
        ("//orbitReference/orbitNumber[4]", []),
        ("//orbitNumber/@direction", ["up", "down"]),
        ("//orbitNumber[@type='stop']/@direction", ["up"]),
        ("//orbitNumber/@none", []),
        ("//frames/frame/swath", ["IW1", "IW2", "IW3"]),
        ("//frames/frame[2]/swath", ["IW2", "IW3"]),
        ("//frames/frame/swath[1]", ["IW1", "IW2"]),
        ("//frame[2]/swath", ["IW2", "IW3"]),
        ("//frame/swath", ["IW1", "IW2", "IW3", "deep"]),
        ("//points/*", ["1", "2", "3", "4"]),
        ("//points/*[2]", ["2"]),
        ("//XFDU/note", ["quoted"]),
        ("//note[@role='it/s ] odd']", ["quoted"]),
        ("//nothing/at/all", []),
    ],
)
def test_a_path_finds_its_values_in_document_order(path: str, found: list[str]) -> None:
    assert values(path) == found


def test_every_anchor_is_found_in_one_walk() -> None:
    anchors = Anchors(DOCUMENT, ["startTime", "frame", "absent"])
    assert [len(anchors.get(name)) for name in ("startTime", "frame", "absent")] == [1, 5, 0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must begin with '//'"),
        ("startTime", "must begin with '//'"),
        ("/XFDU/startTime", "must begin with '//'"),
        ("//", "'' is not a step"),
        ("//@type", "names no element"),
        ("//*/startTime", "must begin with a name"),
        ("//a//b", "'' is not a step"),
        ("//a/", "'' is not a step"),
        ("//a/@", "'@' is not an attribute"),
        ("//a/@type/b", "'@type' is not a step"),
        ("//safe:a", "'safe:a' is not a step"),
        ("//a[0]", "'[0]' is neither"),
        ("//a[last()]", "'[last()]' is neither"),
        ("//a[@type=start]", "is neither"),
        ('//a[@type="start"]', "is neither"),
        ("//a[b='c']", "is neither"),
        ("//a[1", "is not a step"),
        ("//a/text()", "'text()' is not a step"),
        ("//a | //b", "is not a step"),
        ("//1a", "is not a step"),
    ],
)
def test_what_is_no_path_is_told_with_the_piece_that_is_wrong(text: str, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        compile_path(text)
    assert told in str(caught.value)
    assert repr(text) in str(caught.value)
