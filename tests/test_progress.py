"""Progress bars: they move with each job, leave nothing behind, and say what they need."""

from __future__ import annotations

import concurrent.futures
import sys
import threading
from typing import Any

import pytest
import tqdm.auto

from conftest import Maker
from ezpq_exec import as_completed, progress
from gates import PATIENCE, Gate, hold
from workload import add, echo


def test_every_job_is_counted(make_executor: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    executor = make_executor()
    futures = [executor.submit(echo, n) for n in range(20)]
    assert set(as_completed(futures, progress=True)) == set(futures)
    assert "20/20" in capsys.readouterr().err


class Noting:
    """A bar that notes what is done with it."""

    def __init__(self, total: int) -> None:
        self.notes: list[Any] = [total]

    def update(self, n: int) -> None:
        self.notes += [n] if n else []

    def refresh(self) -> None:
        pass

    def close(self) -> None:
        self.notes.append("closed")


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Noting]:
    """The bars that `as_completed` begins."""
    begun: list[Noting] = []

    def begin(total: int) -> Noting:
        begun.append(Noting(total))
        return begun[-1]

    monkeypatch.setattr("ezpq_exec.completed.bar", begin)
    return begun


def test_it_moves_with_each_job(make_executor: Maker, gate: Gate, bars: list[Noting]) -> None:
    executor = make_executor(2)
    held = executor.submit(hold, gate.path)
    quick = executor.submit(add, 1, 1)
    order = as_completed([held, quick], progress=True)
    assert next(order) is quick
    assert bars[0].notes == [2, 1]
    gate.open()
    assert list(order) == [held]
    assert bars[0].notes == [2, 1, 1, "closed"]


def test_a_bar_is_closed_when_the_iteration_is_given_up(
    make_executor: Maker, gate: Gate, bars: list[Noting]
) -> None:
    executor = make_executor(1)
    quick, held = executor.submit(add, 1, 1), executor.submit(hold, gate.path)
    order = as_completed([held, quick], progress=True)
    next(order)
    del order
    assert bars[0].notes == [2, 1, "closed"]
    gate.open()


def test_an_iteration_that_never_begins_has_no_bar(bars: list[Noting]) -> None:
    as_completed([], progress=True)
    assert bars == []


def test_what_came_too_fast_to_be_drawn_is_drawn_before_a_wait(
    make_executor: Maker, gate: Gate, capsys: pytest.CaptureFixture[str]
) -> None:
    executor = make_executor(2)
    held = executor.submit(hold, gate.path)
    gate.heard()
    quick = [executor.submit(add, n, n) for n in range(5)]
    concurrent.futures.wait(quick, PATIENCE)
    order = as_completed([held, *quick], timeout=1, progress=True)
    with pytest.raises(concurrent.futures.TimeoutError):
        list(order)
    assert "5/6" in capsys.readouterr().err
    gate.open()


def test_no_thread_looks_after_a_bar() -> None:
    before = threading.active_count()
    bar = progress.bar(10, "jobs")
    bar.update(3)
    assert threading.active_count() == before
    bar.close()


def test_a_bar_has_its_label_and_its_total(capsys: pytest.CaptureFixture[str]) -> None:
    bar = progress.bar(10, "fetching")
    bar.update(3)
    bar.refresh()
    bar.close()
    text = capsys.readouterr().err
    assert "fetching" in text
    assert "3/10" in text


def test_other_bars_of_the_program_keep_their_ways() -> None:
    progress.bar(1).close()
    assert tqdm.auto.tqdm.monitor_interval == 10


def test_without_asking_there_is_no_bar(
    make_executor: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    list(as_completed([make_executor().submit(add, 1, 1)]))
    assert capsys.readouterr().err == ""


def test_without_tqdm_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.delitem(sys.modules, "tqdm.auto")
    progress._kind.cache_clear()
    with pytest.raises(ImportError, match=r"needs tqdm.*pip install ezpq_exec\[progress\]"):
        as_completed([], progress=True)


@pytest.mark.parametrize("bad", [1, "yes", None])
def test_progress_is_true_or_false(bad: Any) -> None:
    with pytest.raises(TypeError, match="progress must be True or False"):
        as_completed([], progress=bad)
