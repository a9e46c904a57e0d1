"""Whatever bytes are given as a filter: an expression or a refusal, in a time that grows with its length."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refsys.distribution.cql2 import InvalidCql2, parse_json, parse_text, print_text
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.odata.parser import parse_filter
from refsys.distribution.odata.vocabulary import PRODUCTS
from refsys.distribution.odata.vocabulary import Vocabulary as ODataVocabulary
from tests import cql2_documents
from tests.cql2_documents import VOCABULARY

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

SECONDS = 120
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("reader", ["odata", "cql2-text", "cql2-json"])
def test_coverage_guided_fuzzing_finds_nothing(reader, tmp_path):
    words = [sys.executable, "-m", "tests.soak.fuzz_filters", reader, str(SECONDS), str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS + 300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    runs = next(line for line in reversed(done.stderr.splitlines()) if line.startswith("Done "))
    assert int(runs.split()[1]) > 1000, runs


PIECES = st.text(max_size=4) | st.sampled_from(["(", ")", "'", " NOT ", "^", "[", ","])


@settings(max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(cql2_documents.documents, st.data())
def test_a_filter_with_pieces_changed_is_understood_or_refused(document, data):
    text = print_text(parse_json(document, VOCABULARY), VOCABULARY)
    for _ in range(data.draw(st.integers(1, 4))):
        at, cut = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 6))
        text = (
            text[:at]
            + data.draw(st.text(max_size=4) | st.sampled_from(["(", ")", "'", " NOT ", "^", "[", ","]))
            + text[at + cut :]
        )
    with contextlib.suppress(InvalidCql2):
        parse_text(text, VOCABULARY)


COMMON = (
    "a",
    "1",
    "1-",
    "'",
    "''",
    "(",
    ")",
    " ",
    "\n",
    "not ",
    "NOT(",
    "1,",
    "2024-01-01",
    "a=1 AND ",
    "POINT(",
    "²",
    "é",
)
PARTS = {
    "cql2": (
        *(
            *COMMON,
            '"',
            '""',
            "[",
            "-",
            "-1",
            "POINT (1 2)",
            "\\'",
            "1e",
            ".",
            "1.",
            "%a",
            "POLYGON((",
            "CASEI(",
            "1+",
            "1^",
        ),
        *("<", "IN(", "'a' LIKE '%", "1 BETWEEN 1 AND ", "a IS NULL AND "),
    ),
    "odata": (
        *(
            *COMMON,
            "a/",
            "geography'",
            "Name eq 'x' and ",
            "a.",
            "Attributes/any(a:",
            "a/Name eq 'x' and ",
            "contains(",
        ),
        *("tolower(", "00000000-0000-"),
    ),
}


@pytest.mark.parametrize(("dialect", "part"), [(dialect, part) for dialect, parts in PARTS.items() for part in parts])
def test_long_repetitions_take_a_time_that_grows_with_their_length(dialect, part):
    """What is as long as a filter can be is read or refused in a second: nothing grows with the square of it."""
    text = (part * 65_536)[:65_536]
    for given_text in (text, f"id LIKE '{text[:65_000]}'", f"id = {text[:65_000]}", f"contains(Name,'{text[:65_000]}"):
        start = time.process_time()
        if dialect == "cql2":
            with contextlib.suppress(InvalidCql2):
                parse_text(given_text, VOCABULARY)
        else:
            with contextlib.suppress(ODataError):
                parse_filter(given_text, ODataVocabulary(PRODUCTS, {}))
        assert time.process_time() - start < 1
