"""When a keeper weighs its worker's tree, and what a tree weighs, by small examples."""

from __future__ import annotations

import mmap
import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from memorywork import MEBIBYTE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="keepers are for Linux")

NEVER = float("inf")
ROOMY = 2**50  # bytes


@pytest.fixture
def page() -> Iterator[Any]:
    """The memory that keeper and worker share."""
    from ezpq_exec.engines.page import Page

    descriptor = Page.allocate()
    page = Page(descriptor)
    os.close(descriptor)
    yield page
    page.close()


@pytest.fixture
def scales(page: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """For a tree that is this process alone."""
    from ezpq_exec.engines import scales

    monkeypatch.setattr(scales, "descendants", lambda _: {os.getpid()})
    return scales.Scales(page)


def begin(page: Any, ticket: int, limit: int) -> None:
    page.limit(ticket, limit)
    page.begin(ticket, 1.0, NEVER)


def test_nothing_is_weighed_before_it_is_due(page: Any, scales: Any) -> None:
    begin(page, 5, 1)
    assert scales.overweight(now=10.0) == 0
    scales.due = 11.0
    assert scales.overweight(now=10.0) == 0
    assert scales.due == 11.0


def test_when_no_job_with_a_limit_runs_nothing_is_due(page: Any, scales: Any) -> None:
    """Whether none runs, or one that has no limit after one that had. A job that comes must ask."""
    begin(page, 5, 1)
    page.end()
    for _ in range(2):
        scales.due = page.weighed_at = 10.0
        assert scales.overweight(now=10.0) == 0
        assert scales.due is None
        assert page.weighed_at == 0.0
        page.begin(6, 2.0, NEVER)


def test_a_tree_over_its_limit_is_told_with_its_weight(page: Any, scales: Any) -> None:
    begin(page, 5, 1)
    scales.due = 10.0
    assert scales.overweight(now=10.0) == 5
    assert scales.peak > 1
    assert scales.due is None


def test_it_is_weighed_again_before_it_can_have_outgrown_its_limit(page: Any, scales: Any) -> None:
    """However fast it grows: by what all cores together can fill. And not much sooner."""
    from ezpq_exec.engines.scales import FASTEST

    begin(page, 5, ROOMY)
    scales.due = 10.0
    assert scales.overweight(now=10.0) == 0
    assert page.weighed_at == scales.due
    growth = (scales.due - 10.0) * FASTEST * (os.cpu_count() or 1)
    assert ROOMY * 0.99 < growth < ROOMY
    assert scales.peak is None


def test_close_to_its_limit_weighing_stays_cheap(
    page: Any, scales: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two weighings lies a time that is long in comparison to what one takes."""
    from ezpq_exec.engines import scales as module

    clock = iter((1.0, 1.5))
    monkeypatch.setattr(time, "process_time", lambda: next(clock))
    begin(page, 5, module.weigh([os.getpid()], ROOMY) + 100 * MEBIBYTE)
    scales.due = 10.0
    assert scales.overweight(now=10.0) == 0
    assert scales.due == 10.0 + 0.5 / module.SHARE


def test_what_two_share_weighs_once(page: Any) -> None:
    """By what is resident it would be twice as much, which says enough below the limit."""
    from ezpq_exec.engines.scales import weigh

    with mmap.mmap(-1, 64 * MEBIBYTE) as block:
        block.write(b"." * len(block))
        here, there = socket.socketpair()
        child = os.fork()
        if child == 0:
            here.close()
            there.send(bytes(block.find(b"-", 0) < 0))  # by now, it has seen all of it
            there.recv(1)
            os._exit(0)
        there.close()
        assert here.recv(1)
        both = [os.getpid(), child]
        try:
            assert weigh(both, ROOMY) > weigh(both[:1], ROOMY) + 64 * MEBIBYTE
            assert weigh(both, 1) < weigh(both[:1], ROOMY) + 48 * MEBIBYTE
        finally:
            here.close()
            os.waitpid(child, 0)


def test_a_process_that_is_gone_weighs_nothing() -> None:
    from ezpq_exec.engines.scales import weigh

    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert weigh([child], 0) == 0  # a zombie
    os.waitpid(child, 0)
    assert weigh([child], 0) == 0


def test_the_keeper_is_told_only_of_what_it_would_miss() -> None:
    """Where it will look soon enough for the next job's limit, too, no word is sent."""
    from ezpq_exec.engines.alarm import DEADLINE, WEIGH, Alarm

    reader, writer = os.pipe()
    os.set_blocking(reader, False)

    def is_told(due: float, limit: int) -> bool:
        alarm.weigh(due, limit, 100.0)
        try:
            return os.read(reader, 100) == DEADLINE.pack(WEIGH)
        except BlockingIOError:
            return False

    alarm = Alarm(writer)
    assert is_told(0.0, 500)
    assert not is_told(101.0, 500)
    assert not is_told(101.0, 700)
    assert is_told(101.0, 600)  # it may be reckoned for 700
    assert is_told(100.001, 600)  # in this instant it may find that nothing runs
    assert is_told(0.0, 600)
    os.close(reader)
    os.close(writer)


def test_of_a_worker_that_is_to_die_only_its_leaving_is_awaited(page: Any) -> None:
    """Deadlines that pass meanwhile, and weighings, would have its keeper wake without end."""
    from ezpq_exec.engines.alarm import DEADLINE
    from ezpq_exec.engines.stackdump import Dump
    from ezpq_exec.engines.watched import Watched

    pipe, told = os.pipe()
    dump = Dump()
    dump.become_reader()
    worker = Watched(0, pipe, dump, page)
    assert worker.wake_at is None
    os.write(told, DEADLINE.pack(10.0))
    assert worker.hear()
    worker.scales.due = 9.0
    assert worker.wake_at == 9.0
    worker.reason = "KILLED"
    assert worker.wake_at is None
    worker.close()
    os.close(told)


def test_descendants_are_found_to_any_depth() -> None:
    """A child's child's child, too, whose forebears all live."""
    from ezpq_exec.engines.tree import descendants

    told, writer = os.pipe()
    wait_here, stop = os.pipe()
    before = descendants(os.getpid())
    first = os.fork()
    if first == 0:
        os.close(stop)
        for _ in range(2):
            if os.fork():
                break
        os.write(writer, f"{os.getpid()} ".encode())
        os.read(wait_here, 1)  # until the test is over
        os._exit(0)
    os.close(writer)
    os.close(wait_here)
    said = b""
    while said.count(b" ") < 3:
        said += os.read(told, 100)
    found = descendants(os.getpid()) - before
    os.close(stop)
    os.waitpid(first, 0)
    os.close(told)
    assert found == {int(pid) for pid in said.split()}
    assert descendants(first) == set()


def test_without_proc_psutil_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS and Windows; a process that is gone has nothing there either."""
    from ezpq_exec.engines import usage

    ours = usage.resident(os.getpid())
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    monkeypatch.setattr(usage, "_LINUX", False)
    assert usage.resident(os.getpid()) == pytest.approx(ours, rel=0.2)
    assert usage.resident(child) == 0


def test_without_proc_and_psutil_nothing_can_be_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The executor says so when it is made, and what to install."""
    from ezpq_exec import PriorityExecutor, UnsupportedOption
    from ezpq_exec.engines import usage
    from ezpq_exec.engines.spawned import SpawnedEngine

    monkeypatch.setattr(usage, "_LINUX", False)
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(UnsupportedOption, match=r"psutil.*ezpq_exec\[memory\] \(got 5\)"):
        PriorityExecutor(1, engine=SpawnedEngine(), max_worker_memory=5)
