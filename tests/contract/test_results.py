"""What a job returns or raises is what its future gives, or says why it cannot."""

from __future__ import annotations

import functools
import os
import traceback

import pytest

from conftest import Maker
from ezpq_exec import RemoteError, Verdict
from gates import PATIENCE, Gate, hold
from workload import (
    TwoArguments,
    WillNotPickle,
    WillNotUnpickle,
    add,
    echo,
    fail,
    unpicklable_result,
)


def test_a_result_comes_back(make_executor: Maker) -> None:
    assert make_executor().submit(add, 2, b=3).result(PATIENCE) == 5


def test_many_results_come_back_each_to_its_own_future(make_executor: Maker) -> None:
    executor = make_executor()
    futures = [executor.submit(echo, n) for n in range(500)]
    assert [future.result(PATIENCE) for future in futures] == list(range(500))


def test_a_result_is_there_though_others_run_and_wait(make_executor: Maker, gate: Gate) -> None:
    """However many jobs wait for the one that runs, those that have ended are told of."""
    executor = make_executor(1).options(retries=1)  # so that none is queued at a worker
    quick = [executor.submit(echo, n) for n in range(5)]
    held = executor.submit(hold, gate.path)
    others = [executor.submit(echo, n) for n in range(100)]
    assert [future.result(PATIENCE) for future in quick] == list(range(5))
    gate.open()
    assert held.result(PATIENCE)
    assert [future.result(PATIENCE) for future in others] == list(range(100))


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 5_000_000])
def test_bytes_of_any_size_travel_both_ways(make_executor: Maker, size: int) -> None:
    data = os.urandom(size)
    assert make_executor(1).submit(echo, data).result(PATIENCE) == data


def test_lambdas_closures_and_local_classes_travel_both_ways(make_executor: Maker) -> None:
    factor = 7

    class Local:
        def __init__(self, value: int) -> None:
            self.value = value

    def make(value: int) -> Local:
        return Local(value * factor)

    executor = make_executor(1)
    assert executor.submit(make, 6).result(PATIENCE).value == 42
    assert executor.submit(lambda: lambda: factor).result(PATIENCE)() == 7


@pytest.mark.needs("isolates")
def test_a_job_runs_in_another_process(make_executor: Maker) -> None:
    assert make_executor(1).submit(os.getpid).result(PATIENCE) != os.getpid()


@pytest.mark.needs("isolates")
def test_an_argument_is_copied_when_it_is_submitted(make_executor: Maker) -> None:
    executor = make_executor(1)
    executor.pause()
    argument = [1]
    future = executor.submit(echo, argument)
    argument.append(2)
    executor.resume()
    assert future.result(PATIENCE) == [1]


def test_an_exception_comes_back_with_its_arguments(make_executor: Maker) -> None:
    future = make_executor().submit(fail, KeyError, "lost", 5)
    error = future.exception(PATIENCE)
    assert isinstance(error, KeyError)
    assert error.args == ("lost", 5)
    assert future.info.verdict is Verdict.RAISED


@pytest.mark.needs("isolates")
def test_the_remote_traceback_is_the_cause(make_executor: Maker) -> None:
    error = make_executor().submit(fail, ValueError, "over there").exception(PATIENCE)
    assert error is not None
    assert "in fail" in str(error.__cause__)
    text = "".join(traceback.format_exception(error))
    assert "raise kind(*args)" in text
    assert "ValueError: over there" in text


@pytest.mark.lacks("isolates")
def test_the_traceback_is_the_exceptions_own(make_executor: Maker) -> None:
    error = make_executor().submit(fail, ValueError, "over there").exception(PATIENCE)
    assert error is not None
    assert "in fail" in "".join(traceback.format_tb(error.__traceback__))


def test_an_exceptions_own_cause_is_told(make_executor: Maker) -> None:
    def job() -> None:
        try:
            fail(KeyError, "first")
        except KeyError as error:
            raise ValueError("second") from error

    raised = make_executor(1).submit(job).exception(PATIENCE)
    assert raised is not None
    text = "".join(traceback.format_exception(raised))
    assert "KeyError: 'first'" in text
    assert "direct cause" in text


def test_an_exception_that_is_returned_is_returned(make_executor: Maker) -> None:
    future = make_executor().submit(echo, ValueError("a value"))
    assert isinstance(future.result(PATIENCE), ValueError)
    assert future.exception() is None
    assert future.info.verdict is Verdict.RETURNED


@pytest.mark.needs("isolates")
def test_an_argument_that_does_not_pickle_fails_its_future_alone(make_executor: Maker) -> None:
    executor = make_executor(1)
    futures = [executor.submit(echo, WillNotPickle()) for _ in range(5)]
    for future in futures:
        with pytest.raises(TypeError, match="I stay where I am"):
            future.result(PATIENCE)
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


@pytest.mark.needs("isolates")
def test_a_result_that_does_not_pickle_fails_its_future_alone(make_executor: Maker) -> None:
    executor = make_executor(1)
    for _ in range(3):
        with pytest.raises(TypeError, match="I stay where I am"):
            executor.submit(unpicklable_result).result(PATIENCE)
    pid = executor.submit(os.getpid).result(PATIENCE)
    if not executor.capabilities.borrows:  # else it has more workers than slots
        assert executor.submit(os.getpid).result(PATIENCE) == pid


@pytest.mark.needs("isolates")
def test_an_argument_that_does_not_unpickle_fails_its_future_alone(make_executor: Maker) -> None:
    executor = make_executor(1)
    with pytest.raises(ValueError, match="not on this side"):
        executor.submit(echo, WillNotUnpickle()).result(PATIENCE)
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


@pytest.mark.needs("isolates")
def test_a_result_that_does_not_unpickle_fails_its_future_alone(make_executor: Maker) -> None:
    executor = make_executor(1)
    future = executor.submit(WillNotUnpickle)
    with pytest.raises(ValueError, match="not on this side"):
        future.result(PATIENCE)
    assert future.info.verdict is Verdict.RAISED
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


# A lender forks: its workers have whatever a library has installed in this process for pickling.
@pytest.mark.needs("isolates")
@pytest.mark.lacks("borrows")
def test_an_exception_that_does_not_unpickle_is_told_in_words(make_executor: Maker) -> None:
    executor = make_executor(1)
    error = executor.submit(fail, TwoArguments, 1, 2).exception(PATIENCE)
    assert isinstance(error, RemoteError)
    assert error.type_name == "workload.TwoArguments"
    assert error.text == "1 and 2"
    assert "in fail" in error.traceback
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


@pytest.mark.lacks("isolates")
def test_an_exception_that_does_not_pickle_is_no_matter_here(make_executor: Maker) -> None:
    assert isinstance(make_executor().submit(fail, TwoArguments, 1, 2).exception(), TwoArguments)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_system_exit_and_its_like_are_outcomes(
    make_executor: Maker, kind: type[BaseException]
) -> None:
    executor = make_executor(1)
    error = executor.submit(fail, kind, 3).exception(PATIENCE)
    assert type(error) is kind
    assert error.args == (3,)
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


def test_stop_iteration_is_an_outcome(make_executor: Maker) -> None:
    assert isinstance(make_executor().submit(next, iter(())).exception(PATIENCE), StopIteration)


@pytest.mark.needs("isolates")
@pytest.mark.lacks("is_away")
def test_what_a_job_prints_is_out_before_its_result(
    make_executor: Maker, capfd: pytest.CaptureFixture[str]
) -> None:
    make_executor(1).submit(print, "from the worker").result(PATIENCE)
    assert "from the worker" in capfd.readouterr().out


@pytest.mark.lacks("borrows")
def test_an_initializer_has_run_before_the_first_job(make_executor: Maker) -> None:
    import workload

    executor = make_executor(2, initializer=workload.initialize, initargs=("yes",))
    futures = [executor.submit(workload.initialized_with) for _ in range(4)]
    assert [future.result(PATIENCE) for future in futures] == ["yes"] * 4


@pytest.mark.needs("isolates")
def test_each_call_of_a_function_that_does_not_travel_says_so(make_executor: Maker) -> None:
    """In `map`, too, which packs it but once."""
    results = make_executor().map(functools.partial(echo, WillNotPickle()), [1, 2])
    with pytest.raises(TypeError, match="I stay where I am"):
        next(results)


def test_an_executor_with_options_is_shut_down_like_any_other(make_executor: Maker) -> None:
    """There is but the one, so whatever else was made of it is closed, too."""
    executor = make_executor(1)
    view = executor.options(priority=1)
    future = view.submit(add, 1, 1)
    view.shutdown()
    assert future.result(0) == 2
    with pytest.raises(RuntimeError):
        executor.submit(add, 1, 1)
