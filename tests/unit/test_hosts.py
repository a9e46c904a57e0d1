"""Hosts in URLs."""

from __future__ import annotations

import pytest

from refsys.core.hosts import host_in_url


@pytest.mark.parametrize(
    ("listens", "named"),
    [
        ("", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("::1", "[::1]"),
        ("192.0.2.7", "192.0.2.7"),
        ("station.example", "station.example"),
    ],
)
def test_a_url_names_what_this_machine_can_reach(listens: str, named: str) -> None:
    assert host_in_url(listens) == named
