"""With a job dies all that it started, however it tried to get away."""

from __future__ import annotations

import psutil
import pytest

from conftest import Maker, descendants, eventually, is_gone
from ezpq_exec import JobKilled, JobTimeout, WorkerDied
from gates import PATIENCE, Gate
from workload import (
    add,
    child,
    child_that_listens,
    die_leaving_descendant,
    double_forker,
    fork_bomb,
    grandchild,
    run_in_child_and_return,
    session_leaver,
)

pytestmark = pytest.mark.needs("whole_tree")

# What starts the tree, and how many lines it says when the tree is there.
TREES = {
    "children": (child, 1),
    "grandchildren": (grandchild, 1),
    "children in a session of their own": (session_leaver, 1),
    "daemons forked twice": (double_forker, 2),
}


@pytest.mark.parametrize("kind", TREES)
def test_at_the_timeout_die(make_executor: Maker, gate: Gate, kind: str) -> None:
    job, lines = TREES[kind]
    executor = make_executor(1)
    for timeout in (0.5, 2, 8, 32):  # until it is long enough for this machine to start them
        error = executor.options(timeout=timeout).submit(job, gate.path).exception(PATIENCE)
        assert isinstance(error, JobTimeout)
        said = gate.all_heard()
        pids = {int(word) for line in said for word in line.split()}
        assert all(is_gone(pid) for pid in pids)
        if len(said) >= lines:
            break
    assert isinstance(error, JobTimeout)
    assert error.pid in pids
    assert len(pids) >= 2
    assert error.survivors == ()
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


@pytest.mark.parametrize("kind", TREES)
def test_with_a_killed_job_die(make_executor: Maker, gate: Gate, kind: str) -> None:
    job, lines = TREES[kind]
    executor = make_executor(1)
    future = executor.submit(job, gate.path)
    pids = gate.pids(lines)
    assert not any(is_gone(pid) for pid in pids)
    assert future.kill()
    assert isinstance(future.exception(PATIENCE), JobKilled)
    assert all(is_gone(pid) for pid in pids)


def test_none_lives_to_see_another_die(make_executor: Maker, gate: Gate) -> None:
    """They are all stopped before the first is killed, so nothing reacts to that."""
    executor = make_executor(1)
    for _ in range(5):
        future = executor.submit(child_that_listens, gate.path)
        pids = gate.pids()
        assert future.kill()
        assert isinstance(future.exception(PATIENCE), JobKilled)
        assert all(is_gone(pid) for pid in pids)
        assert gate.all_heard() == []


@pytest.mark.parametrize("kind", TREES)
def test_with_a_worker_that_died_die(make_executor: Maker, gate: Gate, kind: str) -> None:
    job, lines = TREES[kind]
    executor = make_executor(1)
    future = executor.submit(job, gate.path)
    pids = gate.pids(lines)
    worker = future.info.pid
    assert worker in pids
    psutil.Process(worker).kill()
    error = future.exception(PATIENCE)
    assert isinstance(error, WorkerDied)
    assert error.signal == "SIGKILL"
    assert all(is_gone(pid) for pid in pids)


def test_a_fork_bomb_is_ended_with_all_its_lines(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    before = descendants()
    future = executor.options(timeout=1).submit(fork_bomb, gate.path)
    error = future.exception(PATIENCE)
    assert isinstance(error, JobTimeout)
    assert error.survivors == ()
    executor.submit(add, 1, 1).result(PATIENCE)
    new = descendants() - before
    assert len(new) <= 2, new  # the keeper and the worker of the one slot


def test_a_descendant_that_holds_every_descriptor_hides_no_death(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(2)
    future = executor.submit(die_leaving_descendant, gate.path)
    error = future.exception(PATIENCE)
    assert isinstance(error, WorkerDied)
    assert error.exitcode == 7
    assert all(is_gone(pid) for pid in gate.pids())
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


def test_what_a_successful_job_left_running_dies_with_its_worker(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(1)
    pid = executor.submit(run_in_child_and_return, gate.path).result(PATIENCE)
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2
    assert not is_gone(pid)
    executor.shutdown()
    assert eventually(lambda: is_gone(pid))


def test_the_trees_of_siblings_are_left_alone(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(2)
    spared = executor.submit(child, gate.path)
    worker, subprocess = gate.pids()
    doomed = executor.submit(child, gate.path)
    pids = gate.pids()
    assert doomed.kill()
    assert isinstance(doomed.exception(PATIENCE), JobKilled)
    assert all(is_gone(pid) for pid in pids)
    assert not is_gone(worker)
    assert not is_gone(subprocess)
    assert spared.running()
    spared.kill()


def test_shutdown_leaves_nothing_of_any_tree(make_executor: Maker, gate: Gate) -> None:
    before = descendants()
    executor = make_executor(2)
    future = executor.submit(grandchild, gate.path)
    pids = gate.pids()
    executor.shutdown(wait=False)
    assert future.kill()
    executor.shutdown()
    assert all(is_gone(pid) for pid in pids)
    assert eventually(lambda: not descendants() - before)
