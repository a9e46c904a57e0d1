"""Filters in CQL2: what they mean, in both spellings, and what is refused."""

import contextlib
import inspect
import json
from datetime import UTC, datetime

import cql2
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from refsys.core.times import parse_instant
from refsys.distribution.cql2 import InvalidCql2, parse_json, parse_text, print_json, print_text
from tests import cql2_documents as documents
from tests.catalogue_rows import Row
from tests.cql2_documents import MADE, VOCABULARY
from tests.plain_evaluator import matches

#: A number that the other reader takes for its neighbour.
NO_DOUBLE = str(2**53 + 1)
QUICK = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(documents.documents, st.lists(documents.rows, min_size=1, max_size=6))
def test_a_filter_finds_what_cql2_says_is_true(document, rows):
    expression = parse_json(document, VOCABULARY)
    for row in rows:
        assert matches(expression, row) is (documents.says(document, row) is True)


@QUICK
@given(documents.documents)
def test_what_is_printed_is_read_back_the_same(document):
    expression = parse_json(document, VOCABULARY)
    assert parse_text(print_text(expression, VOCABULARY), VOCABULARY) == expression
    assert parse_json(print_json(expression, VOCABULARY), VOCABULARY) == expression


def plain(node):
    """A document with times that are compared as times."""
    match node:
        case {"timestamp": text}:
            return parse_instant(text)
        case dict():
            return {key: plain(value) for key, value in node.items()}
        case list():
            return [plain(member) for member in node]
        case _:
            return node


@QUICK
@given(documents.documents)
def test_another_reader_of_cql2_takes_our_text_for_our_json(document):
    expression = parse_json(document, VOCABULARY)
    text, found = print_text(expression, VOCABULARY), print_json(expression, VOCABULARY)
    assume(NO_DOUBLE not in text and "()" not in text)
    assert plain(cql2.parse_text(text).to_json()) == plain(found)


@QUICK
@given(documents.documents)
def test_what_another_writer_of_cql2_makes_is_read(document):
    text = json.dumps(document)
    # it writes DIV like a function, and lists without members not at all
    assume('"div"' not in text and "[]" not in text and NO_DOUBLE not in text)
    assert parse_text(cql2.parse_json(text).to_text(), VOCABULARY) == parse_json(document, VOCABULARY)
