"""`as_completed`: what is done comes at once, and of what is done the most urgent first."""

from __future__ import annotations

import concurrent.futures
import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from conftest import Maker
from ezpq_exec import as_completed
from gates import PATIENCE, Gate, hold
from workload import add, echo, fail


def test_of_those_that_are_done_the_best_priority_comes_first(make_executor: Maker) -> None:
    executor = make_executor()
    futures = [executor.options(priority=p).submit(echo, p) for p in (5, 1, 9, 3, 7, 2.5, -4)]
    concurrent.futures.wait(futures, PATIENCE)
    assert [future.result() for future in as_completed(futures)] == [-4, 1, 2.5, 3, 5, 7, 9]


def test_equals_come_in_the_order_in_which_they_were_given(make_executor: Maker) -> None:
    executor = make_executor(1)
    futures = [executor.submit(echo, n) for n in range(10)]
    concurrent.futures.wait(futures, PATIENCE)
    assert list(as_completed(futures)) == futures


def test_what_is_done_does_not_wait_for_what_is_more_urgent(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(2)
    urgent = executor.options(priority=0).submit(hold, gate.path)
    later = executor.options(priority=9).submit(add, 1, 1)
    order = as_completed([urgent, later])
    assert next(order) is later
    gate.open()
    assert list(order) == [urgent]


def test_one_that_ends_while_the_caller_is_busy_takes_its_place(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(1)
    futures = [executor.options(priority=p).submit(echo, p) for p in (4, 6, 8)]
    concurrent.futures.wait(futures, PATIENCE)
    held = executor.options(priority=5).submit(hold, gate.path)
    order = as_completed([*futures, held])
    assert next(order) is futures[0]
    gate.open()
    held.result(PATIENCE)
    assert next(order) is held
    assert list(order) == futures[1:]


def test_failures_and_timeouts_are_completions_too(make_executor: Maker) -> None:
    executor = make_executor(1)
    failed = executor.submit(fail, ValueError)
    assert list(as_completed([failed], PATIENCE)) == [failed]


def test_a_future_given_twice_comes_once(make_executor: Maker) -> None:
    future = make_executor().submit(add, 1, 1)
    assert list(as_completed([future, future, future], PATIENCE)) == [future]


def test_nothing_given_nothing_comes() -> None:
    assert list(as_completed([])) == []


def test_any_iterable_will_do(make_executor: Maker) -> None:
    executor = make_executor()
    assert len(list(as_completed(executor.submit(echo, n) for n in range(3)))) == 3


@pytest.mark.parametrize("timeout", [0, 0.1])
def test_the_timeout_says_what_the_stdlibs_says(
    make_executor: Maker, gate: Gate, timeout: float
) -> None:
    executor = make_executor(2)
    held: Future[int] = executor.submit(hold, gate.path)
    done: Future[int] = executor.submit(add, 1, 1)
    done.result(PATIENCE)
    seen = []
    with pytest.raises(concurrent.futures.TimeoutError) as ours:
        for future in as_completed([held, done], timeout):
            seen.append(future)
    with pytest.raises(concurrent.futures.TimeoutError) as theirs:
        list(concurrent.futures.as_completed([held, done], timeout))
    assert str(ours.value) == str(theirs.value) == "1 (of 2) futures unfinished"
    assert seen == [done]
    gate.open()


def test_plain_futures_may_be_among_them_with_the_default_priority(make_executor: Maker) -> None:
    executor = make_executor()
    plain: Future[Any] = Future()
    plain.set_result("plain")
    before = executor.options(priority=99).submit(echo, "before")
    after = executor.options(priority=101).submit(echo, "after")
    concurrent.futures.wait([before, after], PATIENCE)
    given: list[Future[Any]] = [after, plain, before]
    assert [f.result() for f in as_completed(given)] == ["before", "plain", "after"]


def test_a_plain_future_that_is_resolved_later_comes_when_it_is() -> None:
    plain: Future[int] = Future()
    thread = threading.Thread(target=plain.set_result, args=(1,))
    order = as_completed([plain], PATIENCE)
    thread.start()
    assert next(order) is plain
    thread.join()


def test_a_cancelled_future_wakes_it(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    executor.submit(hold, gate.path)
    gate.heard()
    waiting = executor.submit(add, 1, 1)
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.extend(as_completed([waiting])))
    thread.start()
    assert waiting.cancel()
    thread.join(PATIENCE)
    assert seen == [waiting]


def test_a_future_that_was_cancelled_before_comes_at_once(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    executor.submit(hold, gate.path)
    gate.heard()
    waiting = executor.submit(add, 1, 1)
    waiting.cancel()
    assert list(as_completed([waiting], PATIENCE)) == [waiting]


def test_what_was_yielded_is_the_callers_alone(make_executor: Maker) -> None:
    executor = make_executor(1)
    plain: list[Future[Any]] = [Future() for _ in range(3)]
    for future in plain:
        future.set_result(None)
    futures = [*plain, *(executor.submit(echo, n) for n in range(5))]
    del plain, future
    executor.shutdown()
    order = as_completed(list(futures))
    for future in order:
        futures.remove(future)
        reference = weakref.ref(future)
        del future
        gc.collect()
        assert reference() is None


def test_an_iteration_over_others_futures_may_be_given_up() -> None:
    """They keep what they were given; it does nothing any more."""
    done: Future[int] = Future()
    pending: Future[int] = Future()
    done.set_result(1)
    order = as_completed([done, pending], PATIENCE)
    assert next(order) is done
    order.close()  # type: ignore[attr-defined]
    pending.set_result(2)
    assert list(order) == []


def test_an_iteration_that_is_given_up_leaves_nothing_with_our_futures(
    make_executor: Maker, gate: Gate
) -> None:
    future = make_executor(1).submit(hold, gate.path)
    gate.heard()
    for _ in range(10):
        with pytest.raises(concurrent.futures.TimeoutError):
            next(as_completed([future], 0))
    order: Iterator[Future[int]] = as_completed([future])
    assert not list(future.listeners)
    gate.open()
    assert list(order) == [future]


def test_two_may_iterate_over_the_same_futures(make_executor: Maker) -> None:
    executor = make_executor()
    futures = [executor.submit(echo, n) for n in range(20)]
    seen: list[set[object]] = []
    threads = [
        threading.Thread(target=lambda: seen.append(set(as_completed(futures, PATIENCE))))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert seen == [set(futures), set(futures)]


@pytest.mark.parametrize("bad", [[1], [None], ["text"], [Future(), 5]])
def test_what_is_no_future_is_refused_at_the_call(bad: list[Any]) -> None:
    with pytest.raises(TypeError, match="futures"):
        as_completed(bad)
