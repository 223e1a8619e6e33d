"""The condition that futures share: as the stdlib's, for what futures ask of it."""

from __future__ import annotations

import threading

import pytest

from ezpq_exec.condition import SharedCondition


def test_a_waiter_is_woken_by_notification() -> None:
    """Who waits is woken by `notify_all`, and by nothing else."""
    condition = SharedCondition()
    state: list[str] = []
    waiting = threading.Event()

    def wait() -> None:
        with condition:
            waiting.set()
            while not state:
                assert condition.wait(60)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert waiting.wait(60)
    with condition:
        state.append("go")
        condition.notify_all()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_a_wait_has_its_limit() -> None:
    """A wait that nobody ends is over after its timeout, and says so."""
    condition = SharedCondition()
    with condition:
        assert not condition.wait(0)
        assert not condition.wait(0.001)
        assert not condition.wait(-1)
        condition.notify_all()


def test_other_futures_waiters_sleep_on() -> None:
    """Though the lock is one for all, a notification is for one future's waiters only."""
    mine, other = SharedCondition(), SharedCondition()
    with mine:
        other.notify_all()
        assert not mine.wait(0.001)


def test_the_lock_is_free_while_somebody_waits() -> None:
    """Waiting on one future keeps nobody from another."""
    condition = SharedCondition()
    asleep = threading.Event()

    def wait() -> None:
        with condition:
            asleep.set()
            condition.wait(60)

    thread = threading.Thread(target=wait)
    thread.start()
    assert asleep.wait(60)
    with SharedCondition():
        pass
    with condition:
        condition.notify_all()
    thread.join(60)
    assert not thread.is_alive()


def test_it_is_re_entrant() -> None:
    """A thread that holds it for one future may take it for the next, as `wait` does."""
    one, two = SharedCondition(), SharedCondition()
    one.acquire()
    assert two.acquire(blocking=False)
    two.release()
    one.release()
    with pytest.raises(RuntimeError):
        one.release()
