"""How slow handlers hold up those who log, without a worker."""

from __future__ import annotations

import logging
import pickle
import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ezpq_exec.engines.channel import Kind
from ezpq_exec.loglistener import MOST_LEFT, LogListener
from ezpq_exec.reports import Said
from gates import PATIENCE

LOGGER = "tests.loglistener"


class Slow(logging.Handler):
    """Waits, at each record, until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.may = threading.Event()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.may.wait(PATIENCE)
        self.texts.append(record.getMessage()[:1])


@pytest.fixture
def slow() -> Iterator[Slow]:
    logger = logging.getLogger(LOGGER)
    handler = Slow()
    logger.addHandler(handler)
    logger.propagate = False
    yield handler
    handler.may.set()
    logger.removeHandler(handler)


def said(text: str, slot: int = 0) -> Said:
    fields = {"name": LOGGER, "levelno": logging.ERROR, "levelname": "ERROR", "msg": text}
    body = pickle.dumps((fields, b""))
    return Said(slot, 0, None, Kind.LOGGED, body)


def test_a_worker_is_heard_again_once_the_handlers_have_come_near(slow: Slow) -> None:
    """Not before, and only the one that was ahead of them; what it had said is logged, in order."""
    heard: list[tuple[int, bool]] = []
    posted: queue.Queue[Any] = queue.Queue()
    listener = LogListener(
        "listener", lambda slot, on: heard.append((slot, on)), lambda *letter: posted.put(letter)
    )
    listener.take(said("a" * (MOST_LEFT // 2)), None)
    listener.take(said("b", slot=1), None)
    assert heard == []
    listener.take(said("c" * (MOST_LEFT // 2)), None)
    assert heard == [(0, False)]
    assert posted.empty()
    slow.may.set()
    event, *args = posted.get(timeout=PATIENCE)
    assert event(*args, 0.0) == []
    assert heard == [(0, False), (0, True)]
    listener.close()
    listener.join()
    assert slow.texts == ["a", "b", "c"]
    assert posted.empty()
