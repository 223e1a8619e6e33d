"""Which lane a key means: the same one for equal keys, from its first job to the end of its last.

Keys are users' objects, and to hash or compare them is to run users' code. That is done here, by
the thread that submits; the loop deals with `Lane` objects only.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Hashable

from .lanes import Lane

__all__ = ["LaneTable"]


class LaneTable:
    """The lanes that somebody holds, by their keys.

    >>> table = LaneTable()
    >>> lane = table.lane("a")
    >>> table.lane("a") is lane, table.lane("b") is lane, len(table)
    (True, False, 1)
    """

    def __init__(self) -> None:
        # A weak reference compares as its object does while that lives, and by identity afterwards.
        # So the reference of a lane that is gone is removed without comparing any key.
        self._references: dict[weakref.ref[Lane], weakref.ref[Lane]] = {}
        references = self._references

        def forget(reference: weakref.ref[Lane]) -> None:
            references.pop(reference, None)

        self._forget = forget
        self._lock = threading.RLock()  # two threads get the same lane; re-entrant, for finalizers

    def __len__(self) -> int:
        return len(self._references)

    def lane(self, key: Hashable) -> Lane:
        """The lane of `key`, which lives as long as the caller keeps it. Raises what the key's code raises."""
        fresh = Lane(key)
        reference = weakref.ref(fresh, self._forget)
        with self._lock:
            lane = self._references.setdefault(reference, reference)()
            if lane is None:  # its last job ended this very moment
                self._references[reference] = reference
                lane = fresh
            return lane
