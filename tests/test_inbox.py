"""A queue for one reader: what is put in comes out, until it is closed."""

from __future__ import annotations

import threading

from ezpq_exec.inbox import Inbox
from gates import PATIENCE


def test_once_it_is_closed_nothing_is_kept() -> None:
    """Whoever still puts something in does so in vain."""
    inbox = Inbox[int]()
    inbox.put(1)
    inbox.close()
    inbox.put(2)
    inbox.put_quietly(3)
    assert inbox.take(timeout=0) == []


def test_what_is_put_quietly_is_there_when_somebody_rings() -> None:
    inbox = Inbox[int]()
    taken: list[list[int]] = []
    reader = threading.Thread(target=lambda: taken.append(inbox.take(PATIENCE)))
    reader.start()
    inbox.put_quietly(1)
    inbox.put_quietly(2)
    inbox.ring()
    inbox.ring()
    reader.join(PATIENCE)
    assert taken == [[1, 2]]
