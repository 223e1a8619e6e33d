"""`kill_workers`, `terminate_workers`, and Ctrl-C that leaves a `with` block."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import BrokenExecutor, Future, wait
from typing import Any, NoReturn

import pytest

import kinwork
from conftest import Maker, is_gone
from ezpq_exec import JobKilled, PriorityExecutor, UnsupportedOption, Verdict
from gates import PATIENCE, Gate, hold, say
from workload import add, catch_everything, forever

WAYS = ["kill_workers", "terminate_workers"]


def two_running(executor: PriorityExecutor, gate: Gate) -> tuple[list[Any], list[int]]:
    """Two jobs that run, and where."""
    futures = [executor.submit(hold, gate.path) for _ in range(2)]
    return futures, gate.pids(2)


@pytest.mark.needs("kills")
@pytest.mark.parametrize("way", WAYS)
def test_what_runs_is_killed_and_what_waits_is_cancelled(
    way: str, make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(2)
    running, pids = two_running(executor, gate)
    waiting = [executor.submit(add, n, 1) for n in range(20)]
    getattr(executor, way)()
    for future in running:
        error = future.exception(PATIENCE)
        assert isinstance(error, JobKilled)
        assert error.pid in pids
        assert is_gone(error.pid)
        assert future.info.verdict is Verdict.KILLED
    wait(waiting, PATIENCE)
    assert all(future.cancelled() for future in waiting)
    executor.shutdown()
    assert executor.stats().settled == {Verdict.KILLED: 2, Verdict.CANCELLED: 20}


@pytest.mark.needs("kills")
@pytest.mark.parametrize("way", WAYS)
def test_it_is_a_shutdown(way: str, make_executor: Maker) -> None:
    """No job is taken afterwards, and calling it again, or on an idle executor, does no harm."""
    executor = make_executor(2)
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2
    getattr(executor, way)()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(add, 1, 1)
    getattr(executor, way)()
    executor.shutdown()
    getattr(executor, way)()


@pytest.mark.needs("kills")
@pytest.mark.parametrize("way", WAYS)
def test_an_executor_that_was_shut_down_can_still_be_killed(
    way: str, make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(2)
    running, _ = two_running(executor, gate)
    waiting = executor.submit(add, 1, 1)
    executor.shutdown(wait=False)
    getattr(executor, way)()
    executor.shutdown()
    assert all(isinstance(future.exception(0), JobKilled) for future in running)
    assert waiting.cancelled()


@pytest.mark.needs("kills")
@pytest.mark.parametrize("way", WAYS)
def test_a_paused_executor_is_ended_too(way: str, make_executor: Maker) -> None:
    executor = make_executor(1)
    executor.pause()
    future = executor.submit(add, 1, 1)
    getattr(executor, way)()
    executor.shutdown()
    assert future.cancelled()


@pytest.mark.needs("kills")
@pytest.mark.parametrize("way", WAYS)
def test_a_hanging_initializer_does_not_hold_it_up(
    way: str, make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(1, initializer=hold, initargs=(gate.path,))
    future = executor.submit(add, 1, 1)
    (pid,) = gate.pids()
    getattr(executor, way)()
    executor.shutdown()
    assert future.cancelled()
    assert is_gone(pid)


@pytest.mark.needs("kills")
def test_the_call_does_not_wait(make_executor: Maker) -> None:
    """A job that catches SIGTERM is killed some seconds later; the caller is not held up by that."""
    executor = make_executor(1)
    future = executor.submit(catch_everything)
    while not future.running():
        pass
    executor.terminate_workers()
    assert not future.done()
    assert isinstance(future.exception(PATIENCE), JobKilled)


def put_in_order(gate: str) -> None:
    """Say so when SIGTERM comes, and end."""

    def handler(*_: object) -> NoReturn:
        say(gate, "in order")
        os._exit(0)

    signal.signal(signal.SIGTERM, handler)
    say(gate, "ready")
    forever()


def return_at_sigterm(gate: str) -> str:
    """Come to an end by SIGTERM, as if nothing were."""

    def handler(*_: object) -> NoReturn:
        raise InterruptedError

    signal.signal(signal.SIGTERM, handler)
    try:
        say(gate, "ready")
        forever()
    except InterruptedError:
        say(gate, "returning")
    return "done"


@pytest.mark.needs("kills")
def test_a_terminated_job_may_put_something_in_order(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    future = executor.submit(put_in_order, gate.path)
    assert gate.heard() == ["ready"]
    executor.terminate_workers()
    assert gate.heard() == ["in order"]
    assert isinstance(future.exception(PATIENCE), JobKilled)


@pytest.mark.needs("kills")
def test_a_terminated_job_has_no_result(make_executor: Maker, gate: Gate) -> None:
    """Whoever was told that it is killed is told no lie."""
    executor = make_executor(1)
    future = executor.submit(return_at_sigterm, gate.path)
    assert gate.heard() == ["ready"]
    executor.terminate_workers()
    assert gate.heard() == ["returning"]
    assert isinstance(future.exception(PATIENCE), JobKilled)


@pytest.mark.needs("stacks")
def test_a_terminated_worker_dies_of_sigterm(make_executor: Maker, gate: Gate) -> None:
    """And what it started dies with it."""
    executor = make_executor(1)
    future = executor.submit(kinwork.family, gate.path)
    family = gate.pids()
    executor.terminate_workers()
    assert isinstance(future.exception(PATIENCE), JobKilled)
    assert future.info.exitcode == -signal.SIGTERM
    assert [pid for pid in family if not is_gone(pid)] == []


@pytest.mark.lacks("kills")
@pytest.mark.parametrize("way", WAYS)
def test_what_cannot_kill_says_so(way: str, make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    running = executor.submit(hold, gate.path)
    with pytest.raises(UnsupportedOption, match=way):
        getattr(executor, way)()
    gate.open()
    assert running.result(PATIENCE)
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


class Stop(KeyboardInterrupt):
    """A derived one counts as well."""


@pytest.mark.needs("kills")
@pytest.mark.parametrize("kind", [KeyboardInterrupt, Stop])
@pytest.mark.parametrize("view", [False, True], ids=["executor", "options"])
def test_ctrl_c_that_leaves_the_block_ends_all(
    kind: type[BaseException], view: bool, make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(2)
    futures: list[Future[Any]] = []

    def leave() -> None:
        with executor.options(priority=1) if view else executor as ex:
            futures.extend(ex.submit(hold, gate.path) for _ in range(4))
            gate.heard(2)
            raise kind

    with pytest.raises(kind):
        leave()
    verdicts = [type(future.exception(0)) for future in futures if not future.cancelled()]
    assert verdicts == [JobKilled, JobKilled]
    assert sum(future.cancelled() for future in futures) == 2


@pytest.mark.lacks("kills")
def test_ctrl_c_cancels_what_waits_for_threads(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    running, waiting = executor.submit(hold, gate.path), executor.submit(add, 1, 1)
    gate.heard()
    threading.Timer(0.2, gate.open).start()

    def leave() -> None:
        with executor:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()
    assert isinstance(running.result(0), int)
    assert waiting.cancelled()


@pytest.mark.parametrize("kind", [ValueError, SystemExit, GeneratorExit])
def test_other_exceptions_that_leave_the_block_wait(
    kind: type[BaseException], make_executor: Maker
) -> None:
    executor = make_executor(2)
    futures: list[Future[int]] = []

    def leave() -> None:
        with executor:
            futures.extend(executor.submit(add, n, 1) for n in range(30))
            raise kind

    with pytest.raises(kind):
        leave()
    assert [future.result(0) for future in futures] == list(range(1, 31))


@pytest.mark.needs("kills")
def test_those_who_wait_for_a_place_are_told(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1, max_pending=1)
    executor.submit(hold, gate.path)
    gate.heard()
    errors: list[BaseException] = []

    def submit() -> None:
        try:
            executor.submit(add, 1, 1)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=submit)
    thread.start()
    thread.join(0.1)
    executor.kill_workers()
    thread.join(PATIENCE)
    assert len(errors) == 1
    assert not isinstance(errors[0], BrokenExecutor)
