"""Workers that have been idle for so long leave, and the executor goes on as if they had not."""

from __future__ import annotations

import os

import pytest

from conftest import Maker, eventually, is_gone
from ezpq_exec import UnsupportedOption
from gates import PATIENCE


@pytest.mark.lacks("borrows")
def test_an_idle_worker_leaves_and_another_comes_when_there_is_a_job(make_executor: Maker) -> None:
    executor = make_executor(2, idle_timeout=0.05)
    for round_ in range(1, 4):
        pid = executor.submit(os.getpid).result(PATIENCE)
        assert eventually(lambda count=round_: executor.stats().workers_retired >= count)  # type: ignore[misc]
        if executor.capabilities.isolates:
            assert eventually(lambda gone=pid: is_gone(gone))  # type: ignore[misc]
    assert executor.stats().workers_died == 0


@pytest.mark.needs("borrows")
def test_borrowed_workers_are_not_ours_to_let_go(make_executor: Maker) -> None:
    with pytest.raises(UnsupportedOption, match="idle_timeout"):
        make_executor(1, idle_timeout=1)
