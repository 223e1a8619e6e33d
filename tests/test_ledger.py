"""Which part of a queue each job is in, where jobs come and go in an order that nobody expects."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ezpq_exec.errors import ExecutorFull
from ezpq_exec.ledger import Ledger


def record() -> Any:
    """A job that is new."""
    made = SimpleNamespace(id=None, submitted=0.0)
    made.to_dict = lambda: {"id": made.id}
    return made


def sizes(ledger: Ledger) -> tuple[int, int, int]:
    """How many wait, work and are completed."""
    parts = ("waiting", "working", "completed")
    nothing = dict.fromkeys(parts, False)
    waiting, working, completed = (ledger.size(**{**nothing, part: True}) for part in parts)
    return waiting, working, completed


def test_a_job_that_is_withdrawn_was_never_there() -> None:
    """Its number is the next one's, and whoever waits for room hears of it."""
    ledger = Ledger(1, 1, keeps=True)
    first, second = record(), record()
    ledger.enter(first)
    with pytest.raises(ExecutorFull, match="max_size=1 jobs are in this queue already"):
        ledger.enter(second)
    ledger.withdraw(first)
    assert ledger.wait_until(lambda: ledger.pending == 0, timeout=0)
    ledger.enter(second)
    assert (second.id, ledger.submitted) == (1, 1)


def test_what_is_withdrawn_twice_or_was_not_entered_is_nobodys_loss() -> None:
    ledger = Ledger(1, 0, keeps=True)
    stays, goes = record(), record()
    ledger.enter(stays)
    ledger.withdraw(goes)
    ledger.enter(goes)
    ledger.withdraw(goes)
    ledger.withdraw(goes)
    assert (sizes(ledger), ledger.submitted) == ((1, 0, 0), 1)


def test_only_what_was_entered_is_completed_and_that_once() -> None:
    """A job may come to its end when the queue has forgotten it."""
    ledger = Ledger(1, 0, keeps=True)
    ledger.complete(record(), 1)
    job = record()
    ledger.enter(job)
    ledger.begin(job)
    ledger.begin(job)
    ledger.complete(job, 1)
    ledger.complete(job, 1)
    ledger.begin(job)
    assert (sizes(ledger), ledger.completed) == ((0, 0, 1), 1)
    assert ledger.pop() == {"id": 1}
    assert ledger.pop() is None
