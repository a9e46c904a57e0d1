"""How the demo looks on terminals of several widths, and in a file."""

import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from refsys.cli.demonstration.offers import Offer
from refsys.cli.demonstration.progress import STAGES, Progress
from refsys.cli.demonstration.screen import Screen, print_end

START = datetime(2024, 10, 28, 17, 39, 51, tzinfo=UTC)
GRD = "S1A_IW_GRDH_1SDV_20241028T173951_20241028T174016_056306_06DF35_3DF2.SAFE"
OLCI = "S3A_OL_1_EFR____20241101T073827_20241101T074127_20241101T091427_0179_118_334_4320_LN1_O_NR_004.SEN3"
ODD = "S2B_OPER_MSI_L1C_TC_EPAE_20191001T102654_A013417_T39UWP_N02.08.jp2"
WIDTHS = (40, 80, 120, 200)


def progress(name, reached="published", parked="", unknown="", after_s=0.0):
    times = {
        stage: START + timedelta(seconds=n + after_s) for n, stage in enumerate(STAGES[: STAGES.index(reached) + 1])
    }
    return Progress(
        Offer(name, Path(name), unknown),
        times if reached else {},
        moves=not parked and reached != "published",
        parked=parked,
        sensing_start=START,
        size_bytes=460_123,
    )


def console(width, *, height=24, terminal=True):
    return Console(
        width=width,
        height=height,
        record=True,
        file=io.StringIO(),
        force_terminal=terminal,
        highlight=False,
        _environ={},
    )


def ended(progresses, width, *, terminal=True):
    on = console(width, terminal=terminal)
    print_end(progresses, on)
    return on.export_text().splitlines()


def shown(progresses, width, height=24):
    """The lines of the live table."""
    on = console(width, height=height)
    with Screen(on, "from the station to the user") as screen:
        screen.show(progresses)
        return [line.rstrip() for line in on.export_text().splitlines()]


@pytest.mark.parametrize("width", WIDTHS)
def test_at_the_end_every_name_is_whole_and_in_one_piece(width):
    lines = ended([progress(GRD), progress(OLCI), progress(ODD, "found", parked="unknown", unknown="no type")], width)
    for name in (GRD, OLCI, ODD):
        assert [line for line in lines if name in line]
    others = [line for line in lines if not any(name in line for name in (GRD, OLCI, ODD))]
    assert all(len(line) <= max(width, 62) for line in others)


@pytest.mark.parametrize(("width", "in_one_line"), [(80, False), (139, False), (141, True), (200, True)])
def test_a_product_takes_two_lines_where_one_has_no_room(width, in_one_line):
    lines = ended([progress(GRD), progress(OLCI)], width)
    details = r"2024-10-28 17:39:51 +460 kB +4\.00"
    assert bool([line for line in lines if re.match(rf"{GRD} +{details}\s*$", line)]) is in_one_line
    assert bool([line for line in lines if re.match(rf"    {details} s$", line)]) is not in_one_line
    assert "2 of 2 published" in lines


def test_what_is_parked_is_told_with_its_reason_and_what_nobody_expected_comes_last():
    reason = "has no manifest (send it again, [whole] \x1b[31m)"
    found = [
        progress(GRD, "stored", parked=reason),
        progress(ODD, "found", parked="no product type has such a name", unknown="no type"),
        progress(OLCI),
    ]
    lines = ended(found, 200)
    parked = [line for line in lines if line.startswith("parked (")]
    assert parked == [f"parked (its type is unknown, as expected)  {ODD}", f"parked (not expected)  {GRD}"]
    assert "    has no manifest (send it again, [whole] \\x1b[31m)" in [line.rstrip() for line in lines]
    assert "1 of 3 published, 2 parked" in lines


def test_a_reason_is_folded_at_words_on_a_terminal_and_not_in_a_file():
    reason = "no product type has such a name, so it cannot be described, packaged or published " * 3
    found = [progress(ODD, "found", parked=reason.strip(), unknown="no type")]
    on_terminal = ended(found, 80)
    assert all(len(line) <= 80 for line in on_terminal[1:])
    assert [line for line in on_terminal if line.startswith("    no product type has such a name, so it cannot be")]
    assert f"    {reason.strip()}" in ended(found, 80, terminal=False)


def test_what_is_not_finished_is_told():
    lines = ended([progress(GRD, "described"), Progress(Offer(ODD, Path(ODD)))], 80)
    assert f"not finished (described)  {GRD}" in lines
    assert f"not finished (not found yet)  {ODD}" in lines
    assert "0 of 2 published, 2 not finished" in lines


@pytest.mark.parametrize("width", WIDTHS)
def test_the_live_table_fits_and_shows_how_far_each_is(width):
    lines = shown([progress(GRD), progress(OLCI, "described"), progress(ODD, "found", parked="x")], width)
    assert all(len(line) <= width for line in lines)
    assert lines[0] == "from the station to the user"
    grd, olci, odd = lines[2:5]
    assert re.fullmatch(r"S1A_.*SAFE +●●●●● +published +4\.00", grd)
    assert re.fullmatch(r"S3A_.*SEN3 +●●●○○ +described", olci)
    assert re.fullmatch(r"S2B_.*jp2 +●○○○○ +parked", odd)
    assert re.fullmatch(r"1 of 3 published   1 parked   0 s", lines[5])


def test_a_name_without_room_keeps_its_beginning_and_its_end():
    name = shown([progress(OLCI)], 80)[2].split()[0]
    beginning, end = name.split("…")
    assert OLCI.startswith(beginning)
    assert OLCI.endswith(end)
    assert len(name) == 80 - 25
    assert min(len(beginning), len(end)) > 15


def test_of_many_products_those_are_shown_that_move_then_those_that_ended_last():
    names = [f"S1A_{number:02}.SAFE" for number in range(40)]
    found = [progress(name, after_s=number) for number, name in enumerate(names[:30])]
    found += [progress(name, "stored") for name in names[30:]]
    lines = shown(found, 80, height=24)
    assert len(lines) <= 24
    rows = [line.split()[0] for line in lines if line.startswith("S1A_")]
    assert rows == names[22:]
    assert "30 of 40 published   22 more not shown" in lines[-1]


def test_in_a_file_every_step_of_a_product_is_a_line():
    on = console(80, terminal=False)
    with Screen(on, "title") as screen:
        screen.show([progress(OLCI, "found")])
        screen.show([progress(OLCI, "found")])
        screen.show([progress(OLCI, "stored")])
        screen.show([progress(OLCI)])
        screen.show([progress(OLCI, "stored", parked="a [reason]")])
    lines = on.export_text().splitlines()
    assert [re.sub(r"^ *\d+\.\d s  ", "", line) for line in lines] == [
        f"found      {OLCI}",
        f"stored     {OLCI}",
        f"published  {OLCI}  (4.00 s)",
        f"parked     {OLCI}  (a [reason])",
    ]
