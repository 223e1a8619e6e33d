"""The parent's side of shared memory: packs and sends large calls, and frees memory in time.

Segments that large calls have used are kept for the next ones. Ten seconds after the last large
call they are freed, here and in the workers; the loop wakes up once for that.
"""

from __future__ import annotations

import pickle
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .. import packing
from ..jobs import Call, Outcome, Verdict
from ..reports import Finished
from .arrivals import receive
from .channel import NO_TICKET, Frame, Kind, header
from .parcels import LARGE, Kept, Packer, Parcel
from .segments import Pool

if sys.platform != "linux":
    raise ImportError("keepers need Linux")
if TYPE_CHECKING:
    from .link import Link

__all__ = ["Depot", "most_lent"]

IDLE = 10.0  # seconds from the last large call or result until nothing is kept
_MOST_KEPT = 16
_MOST_BYTES = 256 * 1024 * 1024
_FEW = 16  # descriptors
_AT_A_TIME = 1000  # numbers in a message


def most_lent() -> int:
    """How many segments may be lent at a time: a quarter of the descriptors that a process may have."""
    import resource  # where there are none, there is no shared memory either

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(_FEW, limit // 4) if limit > 0 else 2**20


class Depot:
    """The segments of one engine. `wake` ends that engine's `wait`."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._pool = Pool(_MOST_KEPT, _MOST_BYTES, most_lent())
        self._packer = Packer(self._pool)
        self._used_at = 0.0
        self._gone: deque[int] = deque()
        self.is_in_use = False  # there is something to do, now or later

    def pack(self, call: Call, packed_function: Any) -> bytes | Parcel:
        """As `Engine.pack`."""
        kept = Kept()
        packed = packing.pack_call(call, packed_function, kept)
        if not kept and len(packed) < LARGE:
            return packed
        parcel = self._packer.pack(packed, kept)
        if parcel is None:
            return packing.pack_call(call, packed_function) if kept else packed
        self._use()
        return parcel

    def send(self, link: Link, parcel: Parcel, head: bytes) -> Finished | None:
        """Send a call. If too many descriptors are on their way, return the report of its failure.

        The report says whether the worker can be used further.
        """
        self._use()
        link.parcel = parcel
        if link.parcels is None or link.queue is None:
            return None
        try:
            news = parcel.send(link.parcels, head, link.blocks)
        except ConnectionError:
            return None  # the worker is gone, of which the keeper will tell
        except OSError as failure:  # for this job alone
            number, now = link.number, time.monotonic()
            link.ticket = link.number = 0
            link.parcel = None
            failure.with_traceback(None)  # whose frames would keep the parcel alive
            outcome = Outcome(Verdict.RAISED, failure, started=now, ended=now, exitcode=1)
            outcome.output = link.end_capture()
            # A worker that was told to capture this job would now capture another one instead.
            return Finished(link.slot, number, outcome, outcome.output is None)
        for block in news:
            block.homes[id(self)] = weakref.ref(self)
            link.maybe.add(block.number)
        if link.channel is not None:
            link.channel.moved_at = time.monotonic()
        if not link.queue.send(header(NO_TICKET, Kind.PARCEL, b"")):
            link.kill_keeper()  # out of memory: there is no other way to that worker
        return None

    def receive(self, link: Link) -> list[Frame]:
        """The answer that was announced, as a list of one; of none, if the worker is gone."""
        self._use()
        link.has_segments = True
        if link.parcels is None:
            return []
        try:
            return [receive(link.parcels, None if link.parcel is None else link.parcel.lease)]
        except (EOFError, OSError):
            return []

    def answered(self, link: Link, frame: Frame) -> None:
        """The call that was sent last has ended."""
        if link.parcel is not None and frame.kind == Kind.RETURNED:  # so its blocks did arrive
            link.blocks.update(block.number for block in link.parcel.blocks)
        link.parcel = None

    def forget(self, number: int) -> None:
        """See `Home.forget`."""
        self._gone.append(number)
        self.is_in_use = True
        self._wake()

    def patience(self, timeout: float | None) -> float | None:
        """How long the loop may sleep, at most `timeout` seconds."""
        if self._gone:
            return 0.0
        wait = max(0.0, self._used_at + IDLE - time.monotonic())
        return wait if timeout is None else min(timeout, wait)

    def tidy(self, links: Iterable[Link], orders: Iterator[int]) -> None:
        """Free what nobody needs, and tell workers to do so.

        Args:
            orders: numbers for messages, unlike those of any job.
        """
        self.is_in_use = False  # first: another thread may be about to use it
        is_idle = time.monotonic() >= self._used_at + IDLE
        if not is_idle:
            self.is_in_use = True
            if not self._gone:
                return
        else:
            self._pool.rest()
        gone = {self._gone.popleft() for _ in range(len(self._gone))}
        for link in links:
            self._tell(link, gone & link.maybe, is_idle and link.has_segments, orders)

    def close(self) -> None:
        """Keep nothing any more."""
        self._pool.rest()

    def _tell(self, link: Link, gone: set[int], is_idle: bool, orders: Iterator[int]) -> None:
        numbers = list(gone)
        while link.queue is not None and (numbers or is_idle):
            body = pickle.dumps((numbers[:_AT_A_TIME], is_idle))
            if not link.queue.send(header(next(orders), Kind.TIDY, body) + body):
                self._gone.extend(numbers)  # it is stopped, and its queue is full: another time
                self.is_in_use = True
                return
            link.maybe.difference_update(numbers[:_AT_A_TIME])
            link.blocks.difference_update(numbers[:_AT_A_TIME])
            del numbers[:_AT_A_TIME]
            link.has_segments = link.has_segments and not is_idle
            is_idle = False

    def _use(self) -> None:
        self._used_at = time.monotonic()
        self.is_in_use = True
