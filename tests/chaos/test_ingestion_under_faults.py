"""Passes from faulty stations while the system is killed and frozen, in short; `make soak-ingest` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.ingestion.playing import Plan, play

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(420)]


async def test_every_file_that_stations_had_is_here_once_whatever_went_wrong(tmp_path: Path) -> None:
    plan = Plan(seconds=25.0, seed=3, blocks=4, pass_s=5.0, passes_every_s=4.0, blow_every_s=6.0)
    run = await play(plan, tmp_path)
    assert run.account.wrong == []
    assert run.passes >= 3
    assert sum(run.blows.values()) >= 2
    assert sum(counts["stored"] for counts in run.account.counts.values()) >= 16
