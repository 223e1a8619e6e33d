"""What a job finds of its submitter's context, and that what it sets there stays its own."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Any

import pytest

from conftest import Maker
from contextwork import (
    Told,
    WillNotPickle,
    change,
    change_and_hold,
    change_once,
    leave_traces,
    precision,
    request,
    seen,
    set_up,
    traces,
    user,
)
from gates import PATIENCE, Gate

lost: ContextVar[int] = ContextVar("lost")


@pytest.fixture(autouse=True)
def _own_context() -> Iterator[None]:
    """What a test sets is unset after it."""
    tokens = request.set("the test's"), user.set("tester")
    with decimal.localcontext():
        yield
    user.reset(tokens[1])
    request.reset(tokens[0])


@pytest.fixture
def with_context(make_executor: Maker) -> Callable[..., Any]:
    """Makes executors, seen by a view that carries both variables."""

    def make(workers: int = 1, **options: Any) -> Any:
        return make_executor(workers).options(context=(request, user), **options)

    return make


def test_a_job_finds_what_was_set_when_it_was_submitted(
    with_context: Callable[..., Any],
) -> None:
    """Not what is set by the time it runs, nor what another submitter has set."""
    executor = with_context(2)
    futures = []
    for n in range(10):
        request.set(n)
        futures.append(executor.submit(seen))
    request.set("later")
    other = copy_context()
    other.run(user.set, "another")
    futures.append(other.run(executor.submit, seen))
    wanted = [*((n, "tester") for n in range(10)), ("later", "another")]
    assert [future.result(PATIENCE) for future in futures] == wanted


def test_so_do_the_jobs_of_map(with_context: Callable[..., Any]) -> None:
    """Whether one by one, in chunks, or by a submitter."""
    executor = with_context()
    for chunksize in (1, 2, "auto"):
        found = list(executor.map(_seen_with, range(4), chunksize=chunksize))
        assert found == [(n, ("the test's", "tester")) for n in range(4)]
    assert executor.submitter(_seen_with)(7).result(PATIENCE)[1] == ("the test's", "tester")


def _seen_with(number: int) -> tuple[int, tuple[Any, Any]]:
    return number, seen()


def test_what_is_not_set_is_not_carried(with_context: Callable[..., Any]) -> None:
    """Then a job finds the default."""
    future = copy_context()
    executor = with_context()
    assert _blank(executor.submit, seen).result(PATIENCE) == ("none", "nobody")
    assert future.run(executor.submit, seen).result(PATIENCE) == ("the test's", "tester")


def _blank(function: Callable[..., Any], *args: Any) -> Any:
    from contextvars import Context

    return Context().run(function, *args)


@pytest.mark.needs("isolates")
def test_without_being_asked_for_nothing_is_carried(make_executor: Maker) -> None:
    """Workers that are processes know nothing of the program's context."""
    executor = make_executor(1)
    assert executor.submit(seen).result(PATIENCE) == ("none", "nobody")


@pytest.mark.needs("own_context")
@pytest.mark.lacks("isolates")
def test_threads_have_it_all_unasked(make_executor: Maker) -> None:
    """Each job runs in a copy of its submitter's context, whatever is in it."""
    thing = object()
    lost.set(1)
    request.set(thing)
    executor = make_executor(1)
    assert executor.submit(seen).result(PATIENCE) == (thing, "tester")
    assert executor.options(context=lost).submit(lost.get).result(PATIENCE) == 1


@pytest.mark.needs("own_context")
def test_what_a_job_sets_the_next_does_not_see(make_executor: Maker) -> None:
    """Nor does the submitter, nor the job's own next attempt."""
    executor = make_executor(1)
    first = executor.submit(change, "first").result(PATIENCE)
    assert executor.submit(change, "second").result(PATIENCE) == first
    assert request.get() == "the test's"


def test_nor_does_another_attempt(with_context: Callable[..., Any], tmp_path: Path) -> None:
    """Each attempt begins with what was set at the submission."""
    executor = with_context(retries=1, retry_on=Told)
    assert executor.submit(change_once, str(tmp_path / "tried")).result(PATIENCE) == "the test's"


def test_jobs_at_once_do_not_meet(with_context: Callable[..., Any], gate: Gate) -> None:
    """Two jobs that run at the same time have a context each."""
    executor = with_context(2)
    futures = [executor.submit(change_and_hold, gate.path, n) for n in range(2)]
    gate.heard(2)
    gate.open(2)
    assert [future.result(PATIENCE) for future in futures] == [0, 1]


@pytest.mark.needs("own_context")
def test_decimal_is_part_of_that(make_executor: Maker) -> None:
    """A precision that a job sets holds for that job alone."""
    decimal.getcontext().prec = 17
    executor = make_executor(1)
    first = executor.submit(precision, 5).result(PATIENCE)
    assert first == (28 if executor.capabilities.isolates else 17)
    assert executor.submit(precision, 6).result(PATIENCE) == first
    assert decimal.getcontext().prec == 17


@pytest.mark.needs("own_context")
def test_what_an_initializer_sets_every_job_finds(make_executor: Maker) -> None:
    """Where the submitter has not set the same, that is."""
    executor = make_executor(1, initializer=set_up, initargs=("initial", 11))
    for _ in range(2):
        assert _blank(executor.submit, seen).result(PATIENCE) == ("none", "initial")
        assert _blank(executor.submit, precision, 5).result(PATIENCE) == 11


@pytest.mark.needs("isolates", "recycles")
def test_a_worker_for_each_job_has_seen_none(make_executor: Maker, tmp_path: Path) -> None:
    """With `max_tasks_per_child=1` nothing at all is left of the job before."""
    executor = make_executor(1, max_tasks_per_child=1)
    before = executor.submit(traces).result(PATIENCE)
    executor.submit(leave_traces, str(tmp_path)).result(PATIENCE)
    assert executor.submit(traces).result(PATIENCE) == before
    assert before[1:] == [None, False, "none", None]


# What is refused ------------------------------------------------------------------------------


def test_a_value_that_does_not_pickle_is_the_futures_affair(
    with_context: Callable[..., Any], make_executor: Maker
) -> None:
    """Its error names the variable; with threads nothing is pickled."""
    executor = with_context()
    can = make_executor(1).capabilities
    request.set(WillNotPickle())
    future = executor.submit(seen)
    if can.isolates or not can.own_context:
        with pytest.raises(TypeError, match="'request' cannot be carried: I stay where I am"):
            future.result(PATIENCE)
    else:
        assert isinstance(future.result(PATIENCE)[0], WillNotPickle)
    request.set("fine")
    assert executor.submit(seen).result(PATIENCE) == ("fine", "tester")


@pytest.mark.needs("isolates")
def test_a_variable_that_cannot_be_found_is_refused(make_executor: Maker) -> None:
    """A worker could not import it, which is said where it is named."""
    executor = make_executor(1)
    homeless: ContextVar[int] = ContextVar("homeless")
    with pytest.raises(ValueError, match=r"context: .*'homeless'.* no attribute of a module"):
        executor.options(context=homeless)


@pytest.mark.parametrize("value", ["request", ("request",), None, [request]])
def test_what_is_no_variable_is_refused(make_executor: Maker, value: Any) -> None:
    """The error names the option and the value."""
    with pytest.raises(TypeError, match="context must be a ContextVar, or a tuple of them, not "):
        make_executor(1).options(context=value)
