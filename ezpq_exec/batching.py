"""A chunk of items on its way to a worker and back, in which each item fails by itself alone.

Where all items are plain data, they are pickled together, since that cannot fail for one of them.
What names a class or function is pickled item by item, so that one that does not pickle, or does
not unpickle on the other side, harms no other. The same goes for results. Workers import this.
"""

from __future__ import annotations

import itertools
import pickle
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from . import packing

__all__ = ["Answer", "Batch", "Packed", "pack_items", "unpack_results"]

# All in one pickle, or a pickle each; None in place of one that failed.
Packed: TypeAlias = "bytes | list[bytes | None]"
# The seconds that the chunk took, its results, and by index the packed errors of failed items.
Answer: TypeAlias = tuple[float, Packed, dict[int, bytes]]

_PLAIN = {int, float, complex, bool, str, bytes, type(None)}
_PERHAPS = _PLAIN | {list, tuple, dict, set, frozenset}  # depends on what is in them


class Batch:
    """Calls `func` for each item of a chunk; `starred`: an item is a tuple of arguments."""

    __slots__ = ("func", "starred")

    def __init__(self, func: Callable[..., Any], starred: bool) -> None:
        self.func = func
        self.starred = starred

    def __call__(self, packed: Packed) -> Answer:
        """Run the chunk that `pack_items` made."""
        began = time.monotonic()
        failures: dict[int, bytes] = {}
        if isinstance(packed, bytes):
            results = self._run_together(pickle.loads(packed), failures)  # noqa: S301 - a part of a call
        else:
            results = [
                None if piece is None else self._run_piece(at, piece, failures)
                for at, piece in enumerate(packed)
            ]
        answer, errors = _pack(results)
        for at, error in errors.items():
            failures.setdefault(at, packing.pack_error(error))
        return time.monotonic() - began, answer, failures

    def _run_together(self, items: list[Any], failures: dict[int, bytes]) -> list[Any]:
        results: list[Any] = []
        calls = itertools.starmap(self.func, items) if self.starred else map(self.func, items)
        while len(results) < len(items):
            try:
                for result in calls:  # goes on behind an item that has failed
                    results.append(result)  # noqa: PERF402 - what came before a failure stays
                if len(results) < len(items):
                    raise StopIteration  # noqa: TRY301 - an item raised it, and it ended `calls`
            except BaseException as error:  # whatever an item raises is its outcome
                failures[len(results)] = packing.pack_error(packing.without_our_frame(error))
                results.append(None)
        return results

    def _run_piece(self, at: int, piece: bytes, failures: dict[int, bytes]) -> Any:
        try:
            item = packing.unpack(piece)
            return self.func(*item) if self.starred else self.func(item)
        except BaseException as error:  # the same; or the item does not unpickle
            failures[at] = packing.pack_error(packing.without_our_frame(error))


def pack_items(items: list[Any], starred: bool) -> tuple[Packed, dict[int, BaseException]]:
    """The items for `Batch`; and by index, the errors of those that do not pickle."""
    if starred and set(map(type, itertools.chain.from_iterable(items))) <= _PLAIN:
        return packing.pack(items), {}
    return _pack(items)


def _pack(values: list[Any]) -> tuple[Packed, dict[int, BaseException]]:
    types = set(map(type, values))
    if types <= _PLAIN:
        return packing.pack(values), {}
    if types <= _PERHAPS:
        try:
            together = packing.pack(values)
        except Exception:  # noqa: S110 - see the next line
            pass  # one of them does not pickle; which one is found out below
        else:
            if packing.names_nothing(together):
                return together, {}
    pieces: list[bytes | None] = []
    errors: dict[int, BaseException] = {}
    for at, value in enumerate(values):
        try:
            pieces.append(packing.pack(value))
        except BaseException as error:  # raised by a user's object: its item fails with it
            if isinstance(error, KeyboardInterrupt):
                raise
            errors[at] = error
            pieces.append(None)
    return pieces, errors


def unpack_results(answer: Answer, refused: dict[int, BaseException]) -> Iterator[Any]:
    """Give the results one by one, and keep none of them; raise an item's error in its turn.

    Args:
        answer: what `Batch` gave.
        refused: what `pack_items` said.
    """
    _, packed, failures = answer
    if isinstance(packed, bytes) and not failures and not refused:
        values = packing.unpack_result(packed)
        values.reverse()
        while values:
            yield values.pop()
        return
    together = isinstance(packed, bytes)
    values = packing.unpack_result(packed) if isinstance(packed, bytes) else list(packed)
    for at in range(len(values)):
        if at in refused:
            raise refused[at]
        if at in failures:
            raise packing.unpack_error(failures[at])
        value, values[at] = values[at], None
        if not together:
            value = packing.unpack_result(value)
        yield value
        del value
