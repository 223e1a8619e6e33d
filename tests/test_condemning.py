"""Killing and ending meet: a worker is not killed for a job that has ended, whatever it is at now."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="keepers are for Linux")

NEVER = float("inf")


class Source:
    """Where the stacks come from, while something happens."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._meanwhile = meanwhile

    def take(self, pid: int) -> None:
        self._meanwhile()


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
def condemn(page: Any) -> Callable[[int, Callable[[], None]], bool]:
    """Have a job killed while something happens; whether its worker is to die."""
    from ezpq_exec.engines.watched import Watched

    def order(ticket: int, meanwhile: Callable[[], None]) -> bool:
        dump: Any = Source(meanwhile)
        return Watched(0, -1, dump, page).condemn(ticket, "KILLED")

    return order


def nothing() -> None:
    pass


def test_a_job_that_runs_is_killed(page: Any, condemn: Any) -> None:
    page.begin(5, 1.0, NEVER)
    assert condemn(5, nothing)
    assert page.condemned == 5


def test_a_job_that_has_not_begun_is_killed(page: Any, condemn: Any) -> None:
    """Its worker has it, or will have it in a moment."""
    page.begin(4, 1.0, NEVER)
    page.end()
    assert condemn(5, nothing)


def test_a_job_that_ends_meanwhile_is_not_killed(page: Any, condemn: Any) -> None:
    page.begin(5, 1.0, NEVER)
    assert not condemn(5, page.end)
    assert page.condemned == 0


def test_a_job_that_begins_meanwhile_is_not_killed_for_another(page: Any, condemn: Any) -> None:
    """The worker has ended the one, and begun the next, before it could see that it was to die."""
    page.begin(5, 1.0, NEVER)

    def go_on() -> None:
        page.end()
        page.begin(6, 2.0, NEVER)

    assert not condemn(5, go_on)
    assert page.condemned == 0


def test_a_job_that_has_ended_is_not_killed(page: Any, condemn: Any) -> None:
    page.begin(5, 1.0, NEVER)
    page.end()
    assert not condemn(5, nothing)
    page.begin(6, 2.0, NEVER)
    assert not condemn(5, nothing)


def test_a_job_that_was_declined_is_not_killed(page: Any, condemn: Any) -> None:
    """Its worker is at another, or is about to be given one, which would die in its place."""
    page.begin(3, 1.0, NEVER)
    page.end()
    page.decline(5)
    assert not condemn(5, nothing)
    assert not condemn(4, nothing)  # it was called back with the other
    assert page.condemned == 0
    assert condemn(6, nothing)


def test_a_job_that_is_declined_meanwhile_is_not_killed(page: Any, condemn: Any) -> None:
    assert not condemn(5, lambda: page.decline(5))
    assert page.condemned == 0


class Dead(BaseException):
    """The worker was killed."""


@pytest.mark.parametrize("ticket", [4, 5])
def test_a_worker_declines_no_job_for_which_it_is_to_die(
    page: Any, monkeypatch: pytest.MonkeyPatch, ticket: int
) -> None:
    """It waits for its end instead. If it is to die for another job, it goes on, and says so first."""
    from ezpq_exec.engines import bundles, worker

    def die() -> None:
        raise Dead

    monkeypatch.setattr(signal, "pause", die)
    ours, theirs = socket.socketpair()
    entry, exit_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, entry, exit_end:
        bundles.call_back(page, 5)
        page.condemn(ticket)
        entry.send(bundles.pack([(5, b"")]))
        entry.shutdown(socket.SHUT_WR)
        if ticket == 5:
            with pytest.raises(Dead):
                worker.serve(theirs, page, None, exit_end)
        else:
            worker.serve(theirs, page, None, exit_end)
        assert page.has_ended(5) == (ticket == 4)
        theirs.close()
        assert bool(ours.recv(1024)) == (ticket == 4)
