"""A finalizer runs in the midst of anything, the executor's own code included: nothing locks up.

The garbage collector may run one at any step of `submit`. Here it runs at the one that matters:
while the call hands its job over, and holds what the loop is going to need.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from conftest import Maker
from ezpq_exec import ExecutorFull, JobKilled, PriorityExecutor, State, Verdict
from ezpq_exec.condition import SharedCondition
from gates import PATIENCE, Gate, hold
from workload import add, forever


class Finalizer:
    """Calls something in the middle of the next hand-over of an executor, once."""

    def __init__(self, executor: PriorityExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
        from ezpq_exec.offers import Offers

        self.outcome: Any = None
        self._waiting: list[Callable[[], Any]] = []
        take = Offers.take

        def taking(offers: Offers, job: Any) -> Any:
            if self._waiting:
                self._run(self._waiting.pop())
            return take(offers, job)

        monkeypatch.setattr(Offers, "take", taking)
        self._executor = executor

    def _run(self, what: Callable[[], Any]) -> None:
        try:
            self.outcome = what()
        except RuntimeError as error:
            self.outcome = error
        except ExecutorFull as error:
            self.outcome = error

    def interrupts_a_submit(self, what: Callable[[], Any]) -> Any:
        """What it comes to when it is called there. Should that lock up, the test's limit ends it."""
        self._waiting.append(what)
        thread = threading.Thread(target=self._submit, daemon=True)
        thread.start()
        thread.join()
        return self.outcome

    def _submit(self) -> None:
        while self._waiting:  # until the loop sleeps, and a slot is on offer
            self._executor.submit(add, 1, 1).result(PATIENCE)


@pytest.fixture
def finalizer(make_executor: Maker, monkeypatch: pytest.MonkeyPatch) -> Finalizer:
    """One for an executor of three workers, all up."""
    executor = make_executor(3)
    if not executor.capabilities.hands_over:
        pytest.skip("this engine has not: hands_over")
    for future in [executor.submit(add, n, 1) for n in range(3)]:
        future.result(PATIENCE)
    return Finalizer(executor, monkeypatch)


@pytest.fixture
def executor(finalizer: Finalizer) -> PriorityExecutor:
    """The executor that it interrupts."""
    return finalizer._executor


def test_it_may_look_at_a_job(executor: PriorityExecutor, finalizer: Finalizer, gate: Gate) -> None:
    future = executor.submit(hold, gate.path)
    gate.heard()
    info = finalizer.interrupts_a_submit(lambda: future.info)
    assert info.state is State.RUNNING


@pytest.mark.needs("kills")
def test_it_may_kill_a_job(executor: PriorityExecutor, finalizer: Finalizer, gate: Gate) -> None:
    future = executor.submit(hold, gate.path)
    gate.heard()
    assert finalizer.interrupts_a_submit(future.kill) is True
    assert isinstance(future.exception(PATIENCE), JobKilled)


def test_it_may_cancel_a_job(executor: PriorityExecutor, finalizer: Finalizer) -> None:
    waiting: list[Any] = []

    def pause_and_cancel() -> bool:
        executor.pause()
        waiting.append(executor.submit(forever))
        return bool(waiting[0].cancel())

    thread = threading.Timer(1.0, executor.resume)
    thread.start()
    assert finalizer.interrupts_a_submit(pause_and_cancel) is True
    thread.join()
    assert waiting[0].cancelled()


def test_it_may_submit(executor: PriorityExecutor, finalizer: Finalizer) -> None:
    future = finalizer.interrupts_a_submit(lambda: executor.submit(add, 20, 3))
    assert future.result(PATIENCE) == 23


@pytest.mark.parametrize("question", ["stats", "reprioritize"])
def test_what_it_cannot_be_told_is_refused(
    question: str, executor: PriorityExecutor, finalizer: Finalizer, gate: Gate
) -> None:
    """The answer would be the loop's, which waits for the very call that is interrupted."""
    future = executor.submit(hold, gate.path)
    gate.heard()
    ask = executor.stats if question == "stats" else lambda: future.reprioritize(1)
    error = finalizer.interrupts_a_submit(ask)
    assert isinstance(error, RuntimeError)
    assert "cannot wait for itself" in str(error)


def test_it_may_shut_down_and_is_not_kept(executor: PriorityExecutor, finalizer: Finalizer) -> None:
    """It comes back at once; what was submitted is done all the same."""
    finalizer.interrupts_a_submit(executor.shutdown)
    executor.shutdown()
    assert set(executor.stats().settled) == {Verdict.RETURNED}


def test_whoever_holds_what_all_futures_share_is_not_left_waiting(
    executor: PriorityExecutor, gate: Gate
) -> None:
    """As a finalizer that interrupts `done`, `result` or `cancel` of any future does."""
    future = executor.submit(hold, gate.path)
    gate.heard()
    asked: list[Any] = []

    def ask() -> None:
        with SharedCondition():
            asked.append(future.info.state)
            with pytest.raises(RuntimeError, match="cannot wait for itself"):
                executor.stats()
            asked.append(future.kill())

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join()
    state, killed = asked
    assert state in (State.WAITING, State.RUNNING)  # as the loop has heard last
    assert killed is executor.capabilities.kills


def test_a_full_executor_tells_it_so(
    make_executor: Maker, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = make_executor(2, max_pending=2)
    if not full.capabilities.hands_over:
        pytest.skip("this engine has not: hands_over")
    for future in [full.submit(add, n, 1) for n in range(2)]:
        future.result(PATIENCE)
    full.submit(hold, gate.path)
    gate.heard()
    finalizer = Finalizer(full, monkeypatch)
    error = finalizer.interrupts_a_submit(lambda: full.submit(add, 1, 1))
    assert isinstance(error, ExecutorFull)
