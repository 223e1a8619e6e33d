"""The scheduler at work for many slots: the benchmark's simulation in a small form."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

SCALE = Path(__file__).parent / "benchmarks" / "scale.py"


@pytest.fixture(scope="module")
def scale() -> dict[str, Any]:
    return runpy.run_path(str(SCALE))


@pytest.mark.parametrize("seed", range(3))
def test_all_jobs_end_and_no_slot_idles(scale: dict[str, Any], seed: int) -> None:
    """No slot and no lane has two jobs, none idles while a job without a lane waits."""
    plan = scale["Plan"](jobs=6000, slots=60, waiting=2000, lanes=300, seed=seed)
    found = scale["simulate"](plan)
    assert found["killed"] > 0
    assert found["slots busy"] > 0.9


def test_lanes_are_served_alike(scale: dict[str, Any]) -> None:
    """With as many lanes as that none is a bottleneck, jobs in lanes wait as long as the others."""
    plan = scale["Plan"](jobs=40_000, slots=100, waiting=20_000, lanes=1000, seed=7)
    found = scale["simulate"](plan)
    mean = found["mean wait in lanes"]
    assert mean == pytest.approx(found["mean wait without lane"], rel=0.1)
    assert found["worst lane's mean wait"] < 3 * mean


def test_it_comes_to_the_same_twice(scale: dict[str, Any]) -> None:
    """All is decided by the events and their times, so a run can be repeated."""
    plan = scale["Plan"](jobs=3000, slots=30, waiting=1000, lanes=100, seed=5)
    timeless = "killed", "simulated seconds", "slots busy", "worst lane's mean wait"
    one, other = scale["simulate"](plan), scale["simulate"](plan)
    assert [one[name] for name in timeless] == [other[name] for name in timeless]
