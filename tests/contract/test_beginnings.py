"""What a future tells when its job begins, and what many calls of one function share."""

from __future__ import annotations

from typing import Any

from conftest import Maker
from ezpq_exec import State
from gates import PATIENCE, Gate, hold
from workload import add, keywords


def test_start_listeners_hear_of_the_beginning_once(make_executor: Maker, gate: Gate) -> None:
    """Before the end is told; at once if the job has begun, or has ended after it began."""
    executor = make_executor(1)
    told: list[Any] = []
    first, second = executor.submit(hold, gate.path), executor.submit(add, 1, 2)
    gate.heard()
    second.add_start_listener(lambda f: told.append(("began", f)))
    second.add_listener(lambda f: told.append(("ended", f)))
    assert told == []
    gate.open()
    assert (first.result(PATIENCE) > 0, second.result(PATIENCE)) == (True, 3)
    executor.shutdown()
    assert told == [("began", second), ("ended", second)]
    first.add_start_listener(lambda f: told.append(("late", f)))
    assert told[2:] == [("late", first)]


def test_start_listeners_hear_nothing_of_what_never_began(make_executor: Maker, gate: Gate) -> None:
    """A job that was cancelled, skipped, or that waited for too long has no beginning."""
    executor = make_executor(1)
    told: list[Any] = []
    running = executor.submit(hold, gate.path)
    gate.heard()
    cancelled = executor.submit(add, 1, 2)
    late = executor.options(queue_timeout=0.05).submit(add, 1, 2)
    for future in (cancelled, late):
        future.add_start_listener(told.append)
    assert cancelled.cancel()
    assert isinstance(late.exception(PATIENCE), TimeoutError)
    late.add_start_listener(told.append)
    cancelled.add_start_listener(told.append)
    gate.open()
    running.result(PATIENCE)
    assert told == []


def test_info_of_a_cancelled_job_is_not_kept_from_before(make_executor: Maker, gate: Gate) -> None:
    """Asked in the very moment of the cancelling, it is not final; later, it says so."""
    executor = make_executor(1)
    running = executor.submit(hold, gate.path)
    gate.heard()
    future = executor.submit(add, 1, 2)
    states: list[State] = []
    future.add_listener(lambda f: states.append(f.info.state))  # type: ignore[attr-defined]
    assert future.cancel()
    gate.open()
    running.result(PATIENCE)
    executor.shutdown()
    assert len(states) == 1
    assert future.info.state is State.DONE


def test_submitter_takes_any_arguments(make_executor: Maker) -> None:
    """One function, many calls, on the terms of the options."""
    executor = make_executor()
    submit = executor.options(priority=3).submitter(keywords)
    future = submit(1, b=2)
    args, kwargs = future.result(PATIENCE)
    assert (tuple(args), kwargs, future.priority) == ((1,), {"b": 2}, 3)
    assert executor.submitter(add)(1, b=2).result(PATIENCE) == 3
