"""`map(chunksize="auto")`: results in order, items read as needed, and a bad one fails alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as FuturesTimeoutError
from pathlib import Path
from typing import Any

import pytest

from chunkwork import BAD, bad_result, note, raise_stop, reciprocal, result_that_does_not_arrive
from conftest import Maker
from ezpq_exec import JobTimeout, WorkerDied
from gates import PATIENCE, Gate
from workload import (
    WillNotPickle,
    WillNotUnpickle,
    add,
    die,
    echo,
    flaky,
    forever,
    hold_and_return,
    say_and_return,
    times_called,
)


def until_failure(results: Iterator[Any]) -> tuple[list[Any], BaseException | None]:
    """What was given, and what was raised then."""
    given: list[Any] = []
    try:
        given.extend(iter(lambda: next(results, None), None))
    except BaseException as error:
        return given, error
    return given, None


def test_results_come_in_the_order_of_the_items(make_executor: Maker) -> None:
    executor = make_executor()
    assert list(executor.map(abs, range(-5000, 0), chunksize="auto")) == list(range(5000, 0, -1))
    results = executor.map(add, itertools.count(), range(3000), chunksize="auto")
    assert list(results) == list(range(0, 6000, 2))
    assert list(executor.map(echo, [], chunksize="auto")) == []
    assert list(executor.map(echo, chunksize="auto")) == []


def test_items_and_results_of_any_kind_go_through(make_executor: Maker) -> None:
    items = [None, 1, "a", b"b", [1, {"k": (2,)}], {3}, Path("p"), 1j, ValueError, "__main__"] * 50
    executor = make_executor()
    assert list(executor.map(echo, items, chunksize="auto")) == items
    assert list(executor.map(lambda one: [one], items, chunksize="auto")) == [[i] for i in items]


def test_a_call_that_raises_fails_in_its_place_and_nothing_runs_twice(
    make_executor: Maker, tmp_path: Path
) -> None:
    results = make_executor().map(
        note, itertools.repeat(str(tmp_path)), range(1000), chunksize="auto"
    )
    given, error = until_failure(results)
    assert given == list(range(BAD))
    assert isinstance(error, LookupError)  # and not FileExistsError
    assert next(results, "over") == "over"


def test_where_an_item_raised_is_told(make_executor: Maker) -> None:
    _, error = until_failure(make_executor().map(reciprocal, [1, 2, 0], chunksize="auto"))
    assert isinstance(error, ZeroDivisionError)


def test_a_stop_iteration_of_an_item_ends_nothing_quietly(make_executor: Maker) -> None:
    given, error = until_failure(make_executor().map(raise_stop, range(1000), chunksize="auto"))
    assert given == list(range(BAD))
    assert isinstance(error, RuntimeError)


@pytest.mark.needs("isolates")
@pytest.mark.parametrize("bad", [WillNotPickle, WillNotUnpickle])
def test_an_item_that_does_not_travel_fails_in_its_place(
    make_executor: Maker, bad: Callable[[], object]
) -> None:
    items: list[object] = list(range(1000))
    items[BAD] = bad()
    given, error = until_failure(make_executor().map(echo, items, chunksize="auto"))
    assert given == items[:BAD]
    assert error is not None


@pytest.mark.needs("isolates")
@pytest.mark.parametrize("function", [bad_result, result_that_does_not_arrive])
def test_a_result_that_does_not_travel_fails_in_its_place(
    make_executor: Maker, function: Callable[[int], object]
) -> None:
    given, error = until_failure(make_executor().map(function, range(1000), chunksize="auto"))
    assert given == list(range(BAD))
    assert error is not None


def test_endless_items_are_read_as_they_are_needed(make_executor: Maker) -> None:
    read = itertools.count()
    results = make_executor().map(abs, read, chunksize="auto")
    assert list(itertools.islice(results, 2000)) == list(range(2000))
    results.close()  # type: ignore[attr-defined]


def test_buffersize_is_how_far_items_are_read_ahead(make_executor: Maker) -> None:
    read = 0

    def items() -> Iterator[int]:
        nonlocal read
        while True:
            read += 1
            yield read

    results = make_executor().map(abs, items(), chunksize="auto", buffersize=40)
    for given in range(1, 3000):
        assert next(results) == given
        assert read - given <= 40


@pytest.mark.parametrize("buffersize", [1, 2, 3, 7, 1000])
def test_any_buffersize_lets_all_items_through(make_executor: Maker, buffersize: int) -> None:
    executor = make_executor()
    results = executor.map(abs, iter(range(500)), chunksize="auto", buffersize=buffersize)
    assert list(results) == list(range(500))


@pytest.mark.needs("isolates")
def test_what_the_items_raise_comes_after_the_results_before_it(make_executor: Maker) -> None:
    def items() -> Iterator[int]:
        yield from range(500)
        raise LookupError("no more")

    given, error = until_failure(make_executor().map(echo, items(), chunksize="auto"))
    assert given == list(range(500))
    assert isinstance(error, LookupError)


def test_while_one_item_takes_long_the_others_go_on(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor()
    functions = [lambda path: hold_and_return(path, 0)] + [lambda path: say_and_return(path, 1)] * 9
    results = executor.map(
        lambda function, path: function(path),
        functions,
        itertools.repeat(gate.path),
        chunksize="auto",
    )
    gate.heard(3)  # the one that waits, and those that were submitted with it
    gate.open()
    assert list(results) == [0] + [1] * 9


def test_the_timeout_of_map_is_kept(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor()
    results = executor.map(hold_and_return, [gate.path], [1], chunksize="auto", timeout=0.01)
    with pytest.raises(FuturesTimeoutError):
        next(results)
    assert next(results, "over") == "over"


def test_a_limit_of_pending_jobs_holds_nothing_up(make_executor: Maker) -> None:
    results = make_executor(max_pending=1).map(abs, range(500), chunksize="auto")
    assert list(results) == list(range(500))


def test_retry_on_is_for_each_item(make_executor: Maker, tmp_path: Path) -> None:
    executor = make_executor().options(retries=2, retry_on=LookupError)
    paths = [str(tmp_path / "one"), str(tmp_path / "two")]
    results = executor.map(flaky, paths, [1, 2], [raise_lookup] * 2, chunksize="auto")
    assert list(results) == [2, 3]
    assert [times_called(path) for path in paths] == [3, 4]


def raise_lookup() -> None:
    raise LookupError


@pytest.mark.needs("kills")
def test_a_timeout_and_a_death_are_those_of_a_chunk(make_executor: Maker) -> None:
    executor = make_executor()
    with pytest.raises(JobTimeout):
        list(executor.options(timeout=0.1).map(lambda _: forever(), range(1), chunksize="auto"))
    with pytest.raises(WorkerDied):
        list(executor.map(die, [3], chunksize="auto"))
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2
