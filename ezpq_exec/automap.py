"""`map(chunksize="auto")`: chunks are sized by measuring, and items are read as they are needed."""

from __future__ import annotations

import itertools
import operator
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import TimeoutError as FuturesTimeoutError
from typing import Any, NamedTuple

from . import batching
from .future import JobFuture
from .inbox import Inbox
from .sizing import Sizer

__all__ = ["AHEAD", "AutoMap"]

UNDER_WAY = 2  # chunks for each worker that are submitted and not done: one runs, one waits
NEAR = 4  # chunks for each worker that may be read ahead of the consumer
AHEAD = 64  # the same, while the consumer waits for a slow chunk and other workers have nothing
READING = 0.02  # seconds: the longest that reading items may delay a result that is there


class Source:
    """The items of some iterables, read in steps, so that a slow iterator is not waited for long.

    Attributes:
        ended: no more items can be read.
        error: what an iterator raised. It is to be raised after the results of all items before it.
    """

    def __init__(self, iterables: tuple[Iterable[Any], ...]) -> None:
        lengths = [operator.length_hint(each, -1) for each in iterables]
        self._left = min((length for length in lengths if length >= 0), default=None)
        one = len(iterables) == 1
        self._items = iter(iterables[0]) if one else zip(*iterables, strict=False)
        self._step = 1
        self.ended = False
        self.error: Exception | None = None

    @property
    def remaining(self) -> int | None:
        """How many items are left, if the iterables tell; else None."""
        return self._left

    def take(self, count: int) -> list[Any]:
        """The next items: `count` of them, or fewer if they come slowly or there are no more."""
        items: list[Any] = []
        until = time.monotonic() + READING
        while len(items) < count and not self.ended:
            wanted = min(self._step, count - len(items))
            due = len(items) + wanted
            try:
                items.extend(itertools.islice(self._items, wanted))
            except Exception as error:  # the user's iterator's
                self.error, self.ended = error, True
                break
            self.ended = len(items) < due
            if time.monotonic() > until:
                self._step = 1
                break
            self._step = max(self._step, 2 * wanted)
        if self._left is not None:
            self._left = max(0, self._left - len(items))
        return items


class Chunk(NamedTuple):
    """Items that were read, and whose results the consumer has not taken."""

    size: int
    future: JobFuture[batching.Answer]
    refused: dict[int, BaseException]


class AutoMap:
    """One `map`: reads chunks, submits them, and gives their items' results in order.

    Args:
        submit: submits a chunk that `batching.pack_items` has packed.
        iterables: as `map`'s.
        workers: how many jobs run at once.
        buffersize: items that may be read ahead of those that were given; None: no limit but
            that of the chunks.
    """

    def __init__(
        self,
        submit: Callable[[batching.Packed], JobFuture[batching.Answer]],
        iterables: tuple[Iterable[Any], ...],
        workers: int,
        buffersize: int | None,
    ) -> None:
        self._submit = submit
        self._source = Source(iterables)
        self._starred = len(iterables) != 1
        self._workers = workers
        self._sizer = Sizer(workers)
        self._buffersize = buffersize
        self._chunks: deque[Chunk] = deque()
        self._under_way: dict[Any, int] = {}  # futures that are not done, with their items
        self._done: Inbox[Any] = Inbox()
        self._hear = self._done.put
        self._held = 0  # items that were read and whose results were not taken

    def start(self, timeout: float | None) -> Iterator[Any]:
        """Submit the first chunks now; the iterator gives the results, and submits the others."""
        end = None if timeout is None else time.monotonic() + timeout
        try:
            self._fill(NEAR)
        except BaseException:  # Ctrl-C, or no room: nobody will ask for the results
            self._drop()
            raise
        return self._give(end)

    def _give(self, end: float | None) -> Iterator[Any]:
        try:
            while self._chunks or self._fill(NEAR):
                self._await_head(end)
                chunk = self._chunks.popleft()
                self._held -= 1
                self._collect(0)
                self._fill(NEAR)
                yield from batching.unpack_results(chunk.future.result(), chunk.refused)
                self._held -= chunk.size - 1
            if self._source.error is not None:
                raise self._source.error
        finally:
            self._drop()

    def _await_head(self, end: float | None) -> None:
        head = self._chunks[0].future
        while not head.done():
            left = None if end is None else end - time.monotonic()
            if not self._collect(left) and left is not None and left <= 0:
                raise FuturesTimeoutError
            self._fill(AHEAD)

    def _collect(self, timeout: float | None) -> bool:
        """Hear of chunks that are done; False if there is none within `timeout` seconds."""
        done = self._done.take(timeout)
        for future in done:
            count = self._under_way.pop(future)
            if not future.cancelled() and future.exception() is None:
                self._sizer.tell(count, future.result()[0])
        return bool(done)

    def _fill(self, most: int) -> bool:
        """Read and submit what is needed, up to `most` chunks a worker; whether there was any."""
        began = time.monotonic()
        any_was = False
        while (
            not self._source.ended
            and len(self._chunks) < most * self._workers
            # A chunk that is done counts as under way until `_collect`. So with no chunk at hand,
            # one is read in any case: else the iteration would end here.
            and (not self._chunks or len(self._under_way) < UNDER_WAY * self._workers)
        ):
            late = time.monotonic() - began > READING
            if late and self._chunks and self._chunks[0].future.done():
                break
            items = self._source.take(self._size())
            if not items:
                break
            packed, refused = batching.pack_items(items, self._starred)
            future = self._submit(packed)
            self._chunks.append(Chunk(len(items), future, refused))
            self._held += len(items)
            self._under_way[future] = len(items)
            future.add_listener(self._hear)
            any_was = True
            self._collect(0)
        return any_was

    def _size(self) -> int:
        """Items for the next chunk; 0 if there is no room for it."""
        size = self._sizer.size(self._source.remaining)
        if self._buffersize is None:
            return size
        size = min(size, max(1, self._buffersize // (UNDER_WAY * self._workers)))
        room = self._buffersize - self._held
        return size if size <= room else 0

    def _drop(self) -> None:
        for chunk in self._chunks:
            chunk.future.remove_listener(self._hear)
            chunk.future.cancel()
