"""Coverage-guided fuzzing of the readers of filters, as a program: `python -m tests.soak.fuzz_filters odata SECONDS`.

Any bytes give an expression or the reader's refusal. Anything else ends the program with an error and a traceback; so
does a filter that takes longer than a second, which is a hundred times what the longest takes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import atheris

with atheris.instrument_imports(include=["refsys.distribution", "refsys.core"]):
    from refsys.distribution.cql2 import InvalidCql2, parse_json, parse_text, print_json, print_text
    from refsys.distribution.odata.errors import ODataError
    from refsys.distribution.odata.parser import parse_filter
    from refsys.distribution.odata.printer import print_filter
    from refsys.distribution.odata.vocabulary import PRODUCTS
    from refsys.distribution.odata.vocabulary import Vocabulary as ODataVocabulary

from tests.cql2_documents import VOCABULARY

SECONDS: Final = 1.0
_ODATA: Final = ODataVocabulary(PRODUCTS, {})
#: What the fuzzer makes filters of, besides what it finds out.
WORDS: Final = {
    "odata": (
        *(
            "Name",
            "Collection/Name",
            "ContentDate/Start",
            "Online",
            "ContentLength",
            "Id",
            "Attributes/",
            "any(",
            "att:",
        ),
        *(
            "OData.CSC.StringAttribute/",
            "att/Name",
            "att/Value",
            " eq ",
            " ne ",
            " lt ",
            " and ",
            " or ",
            "not ",
            " in (",
        ),
        *("contains(", "tolower(", "OData.CSC.Intersects(", "area=", "location=Footprint", "geography'", "SRID=4326;"),
        *(
            "POLYGON((",
            "MULTIPOINT(",
            "0 0,1 0,1 1,0 0",
            "))",
            "')",
            "''",
            "null",
            "true",
            "2024-01-01T00:00:00Z",
            "1e5",
        ),
    ),
    "cql2-text": (
        *("eo:cloud_cover", "id", "published", "geometry", "sar:polarizations", "refsys:online", " = ", " <> ", " <= "),
        *(
            " AND ",
            " OR ",
            "NOT ",
            " LIKE '",
            "%",
            "\\",
            " IN (",
            " BETWEEN ",
            " IS NULL",
            "TRUE",
            "S_INTERSECTS(",
            "BBOX(",
        ),
        *(
            "POLYGON((",
            "GEOMETRYCOLLECTION(",
            "POINT Z(",
            "T_DURING(",
            "INTERVAL('",
            "'..'",
            "TIMESTAMP('",
            "2024-01-01",
        ),
        *(
            "A_CONTAINS(",
            "CASEI(",
            "ACCENTI(",
            "+",
            "-",
            "*",
            "/",
            "^",
            "%",
            " DIV ",
            "[",
            "]",
            "''",
            '""',
            "1e5",
            "))",
        ),
    ),
}


def odata(data: bytes) -> None:
    try:
        expression = parse_filter(data.decode(errors="surrogateescape"), _ODATA)
    except ODataError:
        return
    print_filter(expression, _ODATA)


def cql2_text(data: bytes) -> None:
    try:
        expression = parse_text(data.decode(errors="surrogateescape"), VOCABULARY)
    except InvalidCql2:
        return
    print_text(expression, VOCABULARY)


#: Members, operators, names and values of documents.
_PIECES: Final[tuple[Any, ...]] = (
    *("op", "args", "property", "interval", "timestamp", "date", "type", "coordinates", "geometries", "bbox", "casei"),
    *("and", "or", "not", "=", "<>", "<", "like", "between", "in", "isNull", "accenti", "+", "/", "^", "div"),
    *(
        "s_intersects",
        "s_within",
        "s_disjoint",
        "t_during",
        "t_intersects",
        "a_equals",
        "a_overlaps",
        "..",
        "2024-01-01",
    ),
    *("Point", "Polygon", "MultiPoint", "GeometryCollection", *VOCABULARY.queryables, "%", "\\", "\ud800", "\0"),
    *(None, True, False, 0, 1, -1, 0.5, 10**400, float("nan"), float("inf")),
)


def cql2_json(data: bytes) -> None:
    try:
        expression = parse_json(_document(atheris.FuzzedDataProvider(data), 0), VOCABULARY)
    except InvalidCql2:
        return
    print_json(expression, VOCABULARY)


def _document(given: atheris.FuzzedDataProvider, depth: int) -> Any:
    """A document out of bytes: mostly calls, names and geometries, sometimes anything at all."""
    choice = given.ConsumeIntInRange(0, 7) if depth < 60 else 0
    members = range(given.ConsumeIntInRange(0, 3)) if choice else ()
    match choice:
        case 0:
            return given.PickValueInList(list(_PIECES))
        case 1:
            return [_document(given, depth + 1) for _ in members]
        case 2:
            return {str(given.PickValueInList(list(_PIECES))): _document(given, depth + 1) for _ in members}
        case 3:
            return {"property": given.PickValueInList(list(VOCABULARY.queryables))}
        case 4:
            kind = given.PickValueInList(["Point", "LineString", "Polygon", "MultiPolygon", "GeometryCollection"])
            return {"type": kind, "coordinates": _document(given, depth + 1), "geometries": _document(given, depth + 1)}
        case 5:
            return given.ConsumeUnicode(6)
        case _:
            return {"op": given.PickValueInList(list(_PIECES)), "args": [_document(given, depth + 1) for _ in members]}


READERS: Final[dict[str, Callable[[bytes], None]]] = {"odata": odata, "cql2-text": cql2_text, "cql2-json": cql2_json}


def timed(read: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        start = time.process_time()
        read(data)
        taken = time.process_time() - start
        if taken > SECONDS:
            raise AssertionError(f"{len(data)} bytes took {taken:.1f} s")

    return run


def main() -> None:
    reader, seconds, folder = sys.argv[1:4]
    options = [f"-max_total_time={seconds}", "-max_len=4096", f"-artifact_prefix={folder}/"]
    if words := WORDS.get(reader):
        dictionary = Path(folder) / "words"
        quoted = ("".join(f"\\x{byte:02x}" for byte in word.encode()) for word in words)
        dictionary.write_text("".join(f'"{word}"\n' for word in quoted))
        options.append(f"-dict={dictionary}")
    atheris.Setup([sys.argv[0], *options], timed(READERS[reader]))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
