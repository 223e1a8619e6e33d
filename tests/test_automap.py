"""Reading from iterables in steps, so that nobody waits long for a slow one."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from ezpq_exec import automap
from ezpq_exec.automap import READING, Source


def test_from_a_slow_iterator_no_more_is_read_than_there_is_time_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What has come is given, and it is tried again, one by one at first."""
    clock = itertools.count(step=READING)  # each look at it takes so long
    monkeypatch.setattr(automap, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    source = Source((range(10),))
    assert source.remaining == 10
    counts = [len(source.take(100)) for _ in range(3)]
    assert sum(counts) < 10
    assert source.remaining == 10 - sum(counts)
    assert not source.ended
