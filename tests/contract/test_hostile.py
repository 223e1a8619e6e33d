"""Objects of users' that are hard to handle harm nothing but, at most, their own job."""

from __future__ import annotations

import os
import traceback
from concurrent.futures import BrokenExecutor
from typing import Any

import pytest

from conftest import Maker
from ezpq_exec import JobTimeout, RemoteError, Verdict, WorkerDied
from gates import PATIENCE, Gate, hold
from hostilework import AWKWARD, FrozenError, InnerProperty, Proxy, RaisingText, Unhelpful
from workload import add, close_descriptors, fail, fork_and_come_back


@pytest.mark.parametrize("kind", AWKWARD)
def test_an_exception_is_its_jobs_outcome_though_it(
    make_executor: Maker, kind: type[Exception]
) -> None:
    """Whatever goes wrong with its attributes, its text or its pickle, no worker dies of it."""
    executor = make_executor(1)
    failed = executor.submit(fail, kind, 7)
    error = failed.exception(PATIENCE)
    assert isinstance(error, (kind, RemoteError)), repr(error)
    assert (failed.info.verdict, failed.info.exitcode) == (Verdict.RAISED, 1)
    if isinstance(error, RemoteError):
        assert error.type_name == f"hostilework.{kind.__qualname__}"
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


@pytest.mark.needs("isolates")
@pytest.mark.lacks("borrows")  # a lender's fork may have Dask's tblib, which sets attributes
def test_the_traceback_of_a_frozen_exception_comes_along(make_executor: Maker) -> None:
    error = make_executor(1).submit(fail, FrozenError, 7).exception(PATIENCE)
    assert isinstance(error, FrozenError)
    assert error.code == 7
    assert "in fail" in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("kind", [Proxy, Unhelpful, InnerProperty])
def test_what_makes_up_attributes_goes_by_its_class(
    make_executor: Maker, gate: Gate, kind: type[Proxy | Unhelpful | InnerProperty]
) -> None:
    """The loop names jobs in errors: no function's own code can stop it, or have it go astray."""
    executor = make_executor(1)
    running = executor.submit(hold, gate.path)
    late = executor.options(queue_timeout=0.05).submit(kind())
    gate.heard()
    error = late.exception(PATIENCE)
    assert isinstance(error, JobTimeout)
    assert f"({kind.__name__})" in str(error)
    assert late.info.name == kind.__name__ == late.info.to_dict()["function"]
    gate.open()
    assert running.result(PATIENCE) > 0
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


@pytest.mark.needs("kills", "recycles")
def test_an_initializers_error_is_told_though_it_has_no_text(make_executor: Maker) -> None:
    executor = make_executor(1, initializer=fail, initargs=(RaisingText,))
    with pytest.raises(BrokenExecutor, match="<RaisingText instance at") as caught:
        executor.submit(add, 1, 1).result(PATIENCE)
    assert isinstance(caught.value.__cause__, RaisingText)


def test_a_wrong_argument_is_named_in_a_line_whatever_its_text(make_executor: Maker) -> None:
    """Of what is submitted in a function's place by mistake, the error shows the beginning only."""
    executor = make_executor(1)
    with pytest.raises(TypeError, match=r"must be callable, not \[0, 1, 2, .*…$") as caught:
        executor.submit(list(range(100_000)))  # type: ignore[arg-type]
    assert len(str(caught.value)) < 300
    with pytest.raises(TypeError, match="priority must be a real number, not <Unhelpful inst"):
        executor.options(priority=Unhelpful())


@pytest.mark.needs("kills", "recycles")
@pytest.mark.parametrize("first", [3, 0])
def test_a_job_that_closes_all_descriptors_fails_and_its_worker_says_why(
    make_executor: Maker, capfd: pytest.CaptureFixture[str], first: int
) -> None:
    """In a line, if it still has a stderr, and not with a traceback of the worker's own."""
    executor = make_executor(1)
    error = executor.submit(close_descriptors, first).exception(PATIENCE)
    assert isinstance(error, WorkerDied)
    assert error.exitcode == 1
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert ("has closed descriptors that are not its own" in said) == (first > 2)


@pytest.mark.needs("kills", "recycles")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.parametrize(
    ("child", "code"),
    [((add, 40, 2), 0), ((fail, SystemExit, 7), 7), ((fail, ValueError, "no"), 1)],
)
def test_a_fork_that_comes_back_from_a_job_ends_and_answers_nobody(
    make_executor: Maker, capfd: pytest.CaptureFixture[str], child: tuple[Any, ...], code: int
) -> None:
    """The job's answer is that of its own process, and no second worker takes the jobs after it."""
    executor = make_executor(1)
    assert executor.submit(fork_and_come_back, *child).result(PATIENCE) == code
    pids = {executor.submit(os.getpid).result(PATIENCE) for _ in range(20)}
    assert len(pids) == 1
    assert ("ValueError: no" in capfd.readouterr().err) == (code == 1)
