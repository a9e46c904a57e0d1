"""Patterns of inboxes are tried with the names that products have, before the first look."""

import pytest

from refsys.infra.settings import Settings
from refsys.ingestion.patterns import pattern_weaknesses
from refsys.missions import load_types
from tests.main_called import caller

TYPES = load_types()


def told(match=".*", mission="", **more):
    inbox = {"id": "one", "type": "folder", "url": "/in", "match": match, "mission": mission} | more
    return list(pattern_weaknesses(Settings.model_validate({"inbox": [inbox]}), TYPES))


@pytest.mark.parametrize(
    ("match", "mission"),
    [
        (".*", ""),
        (
            r"^([A-Za-z_]{4}/)?([0-9A-Za-z_]{1})1([0-9A-Za-z_]{1})/([0-9A-Za-z_]+)/(ch[0|_]?[1-2]/)?(DCS_.*\.(raw|xml))$",
            "S1",
        ),
        (r"([0-9A-Za-z_]+)/DCS_[0-9]{2}_S2[A-Z]_.*\.aisp", "S2"),
        (r"^S1.*(AUX_|AMH_|AMV_|MPL_).*$", "S1"),
        (r"^(S2)(A|B|_)_(OPER|TEST)_(PRD_HKTM___)(.*)$", "S2"),
        (r"^S3.*_0_.*\.SEN3$", "S3"),
        (r"S1A_.*\.SAFE\.zip", "S1"),
        (r"^S2.*AUX.*$", "S2"),
    ],
)
def test_what_the_reference_takes_is_not_told(match, mission):
    assert told(match, mission) == []


def test_a_pattern_that_fits_no_name_is_told():
    assert "match fits none of" in told(r"^S1A\.\*$")[0]
    assert "example names of S3" in told("^S1.*$", "S3")[0]
    assert told("^S1.*$", "S1") == []
    assert "ignore leaves out every example name" in told("^S1.*$", ignore="S.*")[0]
    assert told("^S1.*$", ignore=".*\\.zip") == []


def test_a_look_ahead_that_excludes_nothing_is_told():
    assert "inbox one: match: a negative look-ahead" in told("^S1.*(?!AUX_TRO).*$")[0]


def test_config_check_tells_it_and_ends_well(tmp_path, monkeypatch, capsys):
    call = caller(tmp_path, monkeypatch, capsys)
    (tmp_path / "a.toml").write_text('[[inbox]]\nid = "in"\ntype = "folder"\nurl = "in"\nmatch = "X.*"\n')
    done = call("config", "check", "--config", "a.toml")
    assert "weak: inbox in: match fits none" in done.stderr
