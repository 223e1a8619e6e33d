"""Waiting for descriptors until a moment."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from gates import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="keepers are for Linux")
if sys.platform == "linux":
    from ezpq_exec.engines import precise
    from ezpq_exec.engines.precise import PrecisePoll

Pipe = tuple[int, int]


@pytest.fixture
def pipes() -> Iterator[tuple[Pipe, Pipe]]:
    """Two of them, each with the end to read from first."""
    first, second = os.pipe(), os.pipe()
    yield first, second
    for number in (*first, *second):
        try:
            os.close(number)
        except OSError:
            pass  # the test has


def test_it_says_which_are_ready(pipes: tuple[Pipe, Pipe]) -> None:
    """And no others; what was taken out is not looked at any more."""
    (reader, writer), (other, _) = pipes
    poll = PrecisePoll()
    assert poll.poll(0.0) == []
    poll.register(reader)
    poll.register(other)
    assert poll.poll(0.0) == poll.poll(-1.0) == []
    os.write(writer, b".")
    assert poll.poll(None) == poll.poll(PATIENCE) == [reader]
    poll.unregister(reader)
    assert poll.poll(0.0) == []


def test_an_end_is_news(pipes: tuple[Pipe, Pipe]) -> None:
    """As with `select.poll`, though there is nothing to read."""
    (reader, writer), _ = pipes
    poll = PrecisePoll()
    poll.register(reader)
    os.close(writer)
    assert poll.poll(None) == [reader]


@pytest.mark.parametrize("timeout", [0.0, 1e-9, 0.0003, 0.0213])
def test_it_waits_for_no_less_than_it_is_told(timeout: float) -> None:
    """And it does wake."""
    began = time.monotonic()
    assert PrecisePoll().poll(timeout) == []
    assert time.monotonic() - began >= timeout - 1e-6  # the nanoseconds are cut off


def test_a_signal_ends_the_wait(pipes: tuple[Pipe, Pipe]) -> None:
    """Nothing is ready then, and the handler is called."""
    (reader, writer), _ = pipes
    poll = PrecisePoll()
    poll.register(reader)
    called, over = threading.Event(), threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: called.set())

    def disturb(whom: int) -> None:  # again and again, for the first may come before the wait
        while not over.wait(0.01):
            signal.pthread_kill(whom, signal.SIGUSR1)

    thread = threading.Thread(target=disturb, args=(threading.get_ident(),))
    try:
        thread.start()
        assert poll.poll(PATIENCE) == []
        assert called.is_set()
    finally:
        over.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    os.write(writer, b".")
    assert poll.poll(None) == [reader]


def test_what_the_system_refuses_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def ppoll(self, *_: object) -> int:
            ctypes.set_errno(errno.ENOMEM)
            return -1

    monkeypatch.setattr(precise, "libc", Refusing)
    with pytest.raises(OSError, match=os.strerror(errno.ENOMEM)) as raised:
        PrecisePoll().poll(None)
    assert raised.value.errno == errno.ENOMEM
